"""Queries for those who have none: an LLM writes one a passage, and those that do not lead back to it are dropped."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rankstill.data import Corpus, Dataset
from rankstill.data.fields import digest_id
from rankstill.errors import DataError
from rankstill.teacher.calls import Answer
from rankstill.teacher.prices import Quote, quote
from rankstill.teacher.prompts import render_query_request
from rankstill.teacher.teach import Teacher
from rankstill.teacher.template import load_template
from rankstill.teacher.write_queries.cleaning import NoQueryError, clean_query, words
from rankstill.teacher.write_queries.sentences import sentences
from rankstill.workspace import write_atomically

if TYPE_CHECKING:
    from rankstill.config import Config
    from rankstill.retrieval import FirstStage

_TEMPLATE = "query-v1"
_EXAMPLES = 5
_LONGEST_EXAMPLE = 40  # words
_COPIED = 5
"""Words in the passage's own order that make a query a copy; fewer are a name or a term."""


@dataclass(frozen=True)
class WrittenQueries:
    """The queries that an LLM wrote, and what became of them.

    Args:
        path: the path of the file, for dataset.extra_queries.
        dropped: the others, by reason.
        taken: by the answers, whoever paid for them and when.
    """

    path: Path
    asked: int
    kept: int
    dropped: Mapping[str, int]
    taken: Quote

    def lines(self) -> list[str]:
        """The summary for the terminal, a line a finding."""
        lines = [f"{self.path}: {self.kept:,} queries, from {self.asked:,} passages ({self.taken})"]
        if self.dropped:
            reasons = (f"{count:,} {reason}" for reason, count in sorted(self.dropped.items(), key=lambda one: -one[1]))
            lines.append(f"dropped: {', '.join(reasons)}")
        if self.kept:
            lines.append(f"to use them, set dataset.extra_queries: {self.path}")
        return lines


def write_queries(
    config: Config, dataset: Dataset, first_stage: FirstStage, count: int, path: Path, paid_by: str
) -> WrittenQueries:
    """Have search queries written for a sample of passages, after InPars (Bonifacio et al. 2022).

    Up to five of the user's training queries show the LLM how they ask; test queries are never shown. A query is kept
    if it reads like one, no other asks the same, it is not copied out of the passage, and the first stage finds the
    passage again with it within candidates.k (the round trip of Promptagator, Dai et al. 2022). Every answer is in the
    ledger, so the same call pays nothing the second time, and one with a larger `count` pays for the further passages.

    Args:
        config: the experiment; its teacher must be one that can be asked.
        dataset: passages to write for, and queries that need not be written.
        count: passages to write for; all of them if there are fewer.
        path: the .jsonl to write, {"_id", "text", "made_from"} a line; it appears whole, or not at all.
        paid_by: on whose account calls are noted, and whose budget they count towards.

    Raises:
        RankstillError: the LLM cannot be asked or its budget is reached; what is done is kept.
        DataError: the file cannot be written.
    """
    _make_room(path)
    corpus = dataset.corpus
    positions = _sample(corpus, count, config.seed)
    with Teacher(config.teacher, paid_by, config.seed) as teacher:
        template, examples = load_template(_TEMPLATE), _examples(dataset, config.seed)
        calls = [
            teacher.asker.call(render_query_request(template, text, examples, config.teacher.passage_tokens))
            for text in corpus.texts(positions)
        ]
        answers = teacher.answers(calls, "writing queries")
        paid = {call.key: answer for call, answer in zip(calls, answers, strict=True) if answer is not None}
        taken = quote(((each.tokens_in, each.tokens_out) for each in paid.values()), teacher.price)
    written, dropped = _usable(dataset, positions, answers)
    found = first_stage.search(list(written.values()), config.candidates.k)
    kept = []
    for (position, text), candidates in zip(written.items(), found, strict=True):
        if position in candidates.positions:
            kept.append({"_id": digest_id("w", text), "text": text, "made_from": corpus.ids[position]})
        else:
            dropped["not leading back to their passage"] += 1
    with _writable(path):
        write_atomically(path, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in kept))
    return WrittenQueries(path, len(positions), len(kept), dict(dropped), taken)


def _sample(corpus: Corpus, count: int, seed: int) -> list[int]:
    """Positions of passages with a text, none of which says what another says; of a smaller count come first."""
    positions = list(range(len(corpus)))
    random.Random(seed).shuffle(positions)
    if corpus.repeats is not None:
        positions = [position for position in positions if not corpus.repeats[position]]
    return [position for position in positions if corpus.text(position).strip()][:count]


def _examples(dataset: Dataset, seed: int) -> list[str]:
    texts = [text for text in dataset.texts_of(dataset.train) if 0 < len(text.split()) <= _LONGEST_EXAMPLE]
    random.Random(seed).shuffle(texts)
    return texts[:_EXAMPLES]


def _usable(
    dataset: Dataset, positions: Sequence[int], answers: Sequence[Answer | None]
) -> tuple[dict[int, str], Counter[str]]:
    """Queries by their passage's position, and how many were dropped for which reason."""
    # Test queries too: one that is written again would teach what is measured. Not the extra ones: they may well be
    # those that were written here before, and must not be lost when the file is written anew.
    extra = set(dataset.extra)
    asked = {words(query.text) for query in dataset.queries.values() if query.id not in extra}
    written: dict[int, str] = {}
    dropped: Counter[str] = Counter()
    for position, answer in zip(positions, answers, strict=True):
        if answer is None:
            dropped["given up by the endpoint"] += 1
            continue
        try:
            text = clean_query(answer.text)
        except NoQueryError as reason:
            dropped[str(reason)] += 1
            continue
        if words(text) in asked:
            dropped["the same as another query"] += 1
        elif _is_copied(text, dataset.corpus, position):
            dropped["copied from the passage"] += 1
        else:
            asked.add(words(text))
            written[position] = text
    return written, dropped


def _is_copied(query: str, corpus: Corpus, position: int) -> bool:
    """Whether it is one of the passage's sentences, or several words of it in a row."""
    own = words(query)
    if own in map(words, sentences(corpus.titles[position], corpus.bodies[position])):
        return True
    return len(own.split()) >= _COPIED and f" {own} " in f" {words(corpus.text(position))} "


def _make_room(path: Path) -> None:
    """Find out before anything is paid whether the file can be written."""
    if path.suffix != ".jsonl":
        raise DataError(f"{path}: extra queries are read from .jsonl. Name it {path.stem}.jsonl.")
    if path.is_dir():
        raise DataError(f"{path}: is a folder. Name a file.")
    with _writable(path):
        path.parent.mkdir(parents=True, exist_ok=True)


@contextmanager
def _writable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written ({error.strerror or error}). Name another file: answers are kept in the ledger."
        ) from error
