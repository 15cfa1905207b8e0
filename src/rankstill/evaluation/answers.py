"""Answer matching for open-domain question answering: does a passage contain an accepted answer?

For datasets that have answers in place of judged passages. Follows DPR (Karpukhin et al., "Dense Passage Retrieval for
Open-Domain Question Answering", EMNLP 2020), so that Hit@k is the "top-k retrieval accuracy" of that literature.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from rankstill.data.corpus import Corpus
from rankstill.data.dataset import Qrels, Query
from rankstill.errors import DataError
from rankstill.evaluation.runs import Run, rank_order

# DPR's SimpleTokenizer. The package `regex` knows Unicode classes (\p); the standard library's `re` does not.
_TOKEN = r"[\p{L}\p{N}\p{M}]+|[^\p{Z}\p{C}]"


def has_answer(answers: Iterable[str], text: str) -> bool:
    """Does the text contain one of the answers, as DPR decides it?

    Both are brought to Unicode NFD, cut into tokens (runs of letters, digits and combining marks; any other visible
    character by itself) and lower-cased; an answer matches where its tokens stand in a row. So "US" is not in "bus",
    "U.S." is in "the U.S. Army" and not in "the US", and accents count. An answer without any token matches nothing
    (DPR lets it match everything).

    Args:
        answers: accepted answers; any one suffices.
    """
    prepared = _prepare(text, regex=False)
    return any(_matches(answer, prepared, regex=False) for answer in answers)


def answer_qrels(run: Run, queries: Iterable[Query], corpus: Corpus, depth: int = 100, regex: bool = False) -> Qrels:
    """Judge a run's passages by the answers that they contain: 1 with an accepted answer, 0 without.

    As in DPR only the passage's body counts, not its title. Nothing beyond the run is judged, so Hit@k and MRR@k up to
    `depth` mean what they say; Recall and nDCG are relative to what was judged. To measure several runs with one set of
    qrels, merge theirs (`merge_qrels`).

    Args:
        queries: the queries to measure; those without answers are left out.
        depth: how many of each query's best passages are judged.
        regex: the answers are regular expressions, searched in the NFD text regardless of case.

    Returns:
        query id -> passage id -> 0 or 1, for every query with answers; empty where the run has no passages.

    Raises:
        DataError: no query has answers, the run names a passage that the corpus lacks, or an answer is not a valid
            regular expression.
    """
    answered = [query for query in queries if query.answers]
    if not answered:
        raise DataError('queries: none has answers, so no passage can be judged by them. Give "answers", or qrels.')
    if regex:
        _check_patterns(answered)
    prepared = lru_cache(maxsize=2**15)(lambda position: _prepare(corpus.bodies[position], regex))
    qrels: Qrels = {}
    for query in answered:
        grades = qrels[query.id] = {}
        for passage_id in rank_order(run.get(query.id, {}))[:depth]:
            text = prepared(_position(corpus, passage_id, query.id))
            grades[passage_id] = int(any(_matches(answer, text, regex) for answer in query.answers))
    return qrels


def merge_qrels(parts: Sequence[Qrels]) -> Qrels:
    """One set of judgements from several of the same kind, such as the `answer_qrels` of each run."""
    merged: Qrels = {}
    for part in parts:
        for query_id, grades in part.items():
            merged.setdefault(query_id, {}).update(grades)
    return merged


def _prepare(text: str, regex: bool) -> str:
    """What answers are looked for in: the NFD text, or its tokens."""
    normal = unicodedata.normalize("NFD", text)
    return normal if regex else _tokens(normal)


def _matches(answer: str, prepared: str, regex: bool) -> bool:
    if regex:
        return _pattern(answer).search(prepared) is not None
    tokens = _answer_tokens(answer)
    return tokens.strip() != "" and tokens in prepared


@lru_cache(maxsize=2**14)
def _answer_tokens(answer: str) -> str:
    return _tokens(unicodedata.normalize("NFD", answer))


def _tokens(normal: str) -> str:
    """The tokens, lower case, each between spaces: no token holds a space, so a substring is a whole-token match."""
    return f" {' '.join(token.lower() for token in _compiled(_TOKEN).findall(normal))} "


def _pattern(answer: str) -> Any:
    try:
        return _compiled(unicodedata.normalize("NFD", answer))
    except ValueError as error:
        raise DataError(
            f'answer "{answer}" is not a regular expression ({error}). Fix it, or match answers as plain text.'
        ) from None


@lru_cache(maxsize=2**14)
def _compiled(pattern: str) -> Any:
    """The pattern with DPR's flags, in the syntax of the package `regex`; ValueError if it is none."""
    import regex

    try:
        return regex.compile(pattern, regex.IGNORECASE | regex.UNICODE | regex.MULTILINE)
    except regex.error as error:
        raise ValueError(str(error)) from None


def _check_patterns(queries: Sequence[Query]) -> None:
    for query in queries:
        for answer in query.answers:
            try:
                _pattern(answer)
            except DataError as error:
                raise DataError(f'query "{query.id}": {error}') from None


def _position(corpus: Corpus, passage_id: str, query_id: str) -> int:
    if passage_id not in corpus:
        raise DataError(
            f'run: passage "{passage_id}" of query "{query_id}" is not in the corpus. '
            "Measure the run on the corpus it was made from."
        )
    return corpus.position(passage_id)
