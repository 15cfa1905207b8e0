"""Does a better retriever make better answers? One frozen reader, and passages from one system after the other."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from rankstill.config import Config
from rankstill.data import load_dataset
from rankstill.data.corpus import Corpus
from rankstill.data.dataset import Dataset, Query
from rankstill.errors import DataError, RankstillError
from rankstill.evaluation.chain_runs import chain_systems
from rankstill.evaluation.runs import Run, rank_order
from rankstill.evaluation.systems import BEFORE, read_runs
from rankstill.evaluation.table import tabulate
from rankstill.extras.rag.answering import Contexts, Question, Reply, answer_by_system, reader_template
from rankstill.extras.rag.choices import ChoiceQuestion, parse_choice, read_choice_questions
from rankstill.extras.rag.scores import score
from rankstill.extras.rag.table import CLOSED_BOOK, RagTable, Row
from rankstill.pipeline import Chain, open_chain
from rankstill.teacher.prices import quote
from rankstill.teacher.teach import Teacher

GOLD = "gold passage"
ACCURACY = "Accuracy"

Q = TypeVar("Q", bound=Question)


def answer_test_questions(config: Config, workspace: str | Path) -> RagTable:
    """Have a reader LLM answer the test questions from what each system found; the table lies in `rag/` as well.

    The chain runs to its end first, where it has not.
    """
    dataset = load_dataset(config.dataset)
    answered_queries(dataset)  # or the chain would run for nothing
    with _reading(config, workspace, dataset) as (chain, reader):
        measured = read_runs(chain.workspace.path("runs"))
        runs = {name: measured[name] for name in _read_from(config, measured)}
        table = rag_table(reader, chain.dataset, runs, config)
        table.write(chain.workspace.path("rag"))
    return table


def answer_choices(config: Config, workspace: str | Path, questions: Path) -> RagTable:
    """Have a reader LLM answer multiple-choice questions from what each system finds; accuracy by subject.

    The chain runs to its end first, where it has not. The table lies in `choices/` as well.
    """
    asked = read_choice_questions(questions)
    with _reading(config, workspace) as (chain, reader):
        queries = {each.id: each.text for each in asked}
        systems = chain_systems(chain.components, queries, with_ranker=chain.has_ranker)
        runs = {name: systems[name]() for name in _read_from(config, systems)}
        table = choice_table(reader, asked, chain.dataset.corpus, runs, config)
        table.write(chain.workspace.path("choices"))
    return table


@contextmanager
def _reading(config: Config, workspace: str | Path, dataset: Dataset | None = None) -> Iterator[tuple[Chain, Teacher]]:
    """A chain that has run to its end, and the LLM that reads what it finds; a mistake in the latter shows first."""
    with (
        open_chain(config, workspace, dataset) as chain,
        Teacher(config.rag.reader or config.teacher, chain.components.account, config.seed) as reader,
    ):
        chain.run()
        yield chain, reader


def _read_from(config: Config, systems: Iterable[str]) -> list[str]:
    """Those of a run's systems whose passages the reader gets: as configured, and the one they are compared with."""
    systems = list(systems)
    wanted = systems if config.rag.systems is None else [BEFORE, *config.rag.systems]
    lacking = [name for name in wanted if name not in systems]
    if lacking:
        raise RankstillError(
            f"rag.systems: this run has no {' and no '.join(lacking)}. Name some of: {', '.join(systems)}."
        )
    return [name for name in systems if name in wanted]


def answered_queries(dataset: Dataset) -> list[Query]:
    """The test queries whose answers can be scored; DataError if there is none."""
    asked = (dataset.queries[query_id] for query_id in dataset.test)
    answered = [query for query in asked if any(answer.strip() for answer in query.answers)]
    if not answered:
        raise DataError(f'{dataset.name}: no test query has "answers", so no answer can be scored. Give some.')
    return answered


def rag_table(teacher: Teacher, dataset: Dataset, runs: Mapping[str, Run], config: Config) -> RagTable:
    """Exact match, F1 and "answer contained" of a reader on the test questions, from what each system found.

    Beside the runs it reads nothing at all (closed book: what it knows anyway) and the gold passages (the ceiling).
    A question whose call was given up counts as 0, where the reader's `accept_missing` lets it be.

    Args:
        dataset: its test queries that have accepted answers are asked.
        runs: system -> run over the dataset's corpus. The retriever before, with which the others are compared, is one.
        config: how many passages and questions, and the seed of the sample and of the resampling.

    Raises:
        DataError: no test query has answers, or a run names a passage that the corpus lacks.
        RankstillError: as `answer_by_system`.
    """
    answered = answered_queries(dataset)
    notes = []
    if len(answered) < len(dataset.test):
        notes.append(f"{len(dataset.test) - len(answered):,} test queries have no accepted answers and are not asked.")
    questions = _sample(answered, config)
    systems = _contexts(questions, dataset.corpus, runs, config.rag.k)
    gold = {query.id: _relevant(dataset, query.id) for query in questions}
    unjudged = sum(not passages for passages in gold.values())
    if unjudged:
        notes.append(f"no row for {GOLD}: {unjudged:,} questions have no judged passage.")
    else:
        best = {query_id: ids[: config.rag.k] for query_id, ids in gold.items()}
        systems[GOLD] = _texts(dataset.corpus, best, "qrels")
    replies = answer_by_system(teacher, questions, systems)
    rows = [
        _row(query, system, reply, query.answers, reply.answer, score(reply.answer, query.answers))
        for system, by_question in replies.items()
        for query, reply in zip(questions, by_question.values(), strict=True)
    ]
    return _table(teacher, rows, replies, config, notes)


def choice_table(
    teacher: Teacher,
    questions: Sequence[ChoiceQuestion],
    corpus: Corpus,
    runs: Mapping[str, Run],
    config: Config,
) -> RagTable:
    """Accuracy of a reader on multiple-choice questions, by subject, from what each system found.

    An answer that names no choice is wrong. (A guess would be right once in so many choices: where the reader does not
    follow the form, that is part of what is measured, and a note counts it.)

    Args:
        questions: with unique ids, such as `read_choice_questions` gives.
        runs: as for `rag_table`, by the questions' ids.

    Raises:
        DataError: a run names a passage that the corpus lacks.
        RankstillError: as `answer_by_system`.
    """
    sample = _sample(questions, config)
    replies = answer_by_system(teacher, sample, _contexts(sample, corpus, runs, config.rag.k))
    rows, unread = [], 0
    for system, by_question in replies.items():
        for question, reply in zip(sample, by_question.values(), strict=True):
            number = None if reply.said is None else parse_choice(reply.said, question)
            unread += number is None and reply.said is not None
            named = "" if number is None else question.choices[number]
            values = {ACCURACY: float(number == question.answer)}
            rows.append(_row(question, system, reply, (question.choices[question.answer],), named, values))
    notes = [f"{unread:,} of {len(rows):,} answers name no choice and count as wrong."] if unread else []
    return _table(teacher, rows, replies, config, notes)


def _sample(questions: Sequence[Q], config: Config) -> list[Q]:
    """In an order of the seed's alone, so that a larger sample begins with the smaller one, which is paid."""
    shuffled = list(questions)
    random.Random(config.seed).shuffle(shuffled)
    return shuffled[: config.rag.questions]


def _contexts(questions: Iterable[Question], corpus: Corpus, runs: Mapping[str, Run], k: int) -> dict[str, Contexts]:
    ids = [question.id for question in questions]
    systems: dict[str, Contexts] = {CLOSED_BOOK: {}}
    for name, run in runs.items():
        found = {question_id: rank_order(run.get(question_id, {}))[:k] for question_id in ids}
        systems[name] = _texts(corpus, found, f'run "{name}"')
    return systems


def _texts(corpus: Corpus, found: Mapping[str, Sequence[str]], where: str) -> Contexts:
    for question_id, passage_ids in found.items():
        for passage_id in passage_ids:
            if passage_id not in corpus:
                raise DataError(
                    f'{where}: passage "{passage_id}" of query "{question_id}" is not in the corpus. Give the corpus '
                    "that it was made from."
                )
    return {question_id: corpus.texts(map(corpus.position, ids)) for question_id, ids in found.items()}


def _relevant(dataset: Dataset, query_id: str) -> list[str]:
    """Passages judged relevant, the best grade first."""
    grades = dataset.qrels.get(query_id, {})
    return sorted((each for each in grades if grades[each] > 0), key=lambda each: -grades[each])


def _row(
    question: Query | ChoiceQuestion,
    system: str,
    reply: Reply,
    accepted: tuple[str, ...],
    answer: str,
    values: dict[str, float],
) -> Row:
    return Row(
        question_id=question.id,
        system=system,
        question=question.text,
        accepted=accepted,
        answer=answer,
        said=reply.said,
        passages=reply.passages,
        values=values,
        subject=question.subject if isinstance(question, ChoiceQuestion) else "",
        call=reply.call,
    )


def _table(
    teacher: Teacher,
    rows: Sequence[Row],
    replies: Mapping[str, Mapping[str, Reply]],
    config: Config,
    notes: Sequence[str],
) -> RagTable:
    values: dict[str, dict[str, dict[str, float]]] = {}
    for row in rows:
        for measure, value in row.values.items():
            values.setdefault(row.system, {}).setdefault(measure, {})[row.question_id] = value
    missing = _count(replies, lambda reply: reply.said is None)
    bare = _count(replies, lambda reply: not reply.passages)
    del bare[CLOSED_BOOK]
    cut = sum(_count(replies, lambda reply: reply.cut).values())
    further = [
        f"{what}: {', '.join(f'{system} {number:,}' for system, number in counts.items() if number)}."
        for what, counts in (
            ("Questions without an answer, counted as 0", missing),
            ("Questions asked without passages, because none were found or none fit", bare),
        )
        if any(counts.values())
    ]
    if cut:
        further.append(f"{cut:,} of {len(rows):,} answers were cut off at {teacher.config.answer_tokens} tokens.")
    paid = {reply.call: reply for each in replies.values() for reply in each.values() if reply.said is not None}
    return RagTable(
        table=tabulate(values, missing, BEFORE, config.seed, config.evaluation.resamples),
        reader=teacher.asker.model,
        prompt=reader_template().identity,
        k=config.rag.k,
        taken=quote(((reply.tokens_in, reply.tokens_out) for reply in paid.values()), teacher.price),
        notes=(*notes, *further),
        rows=tuple(rows),
    )


def _count(replies: Mapping[str, Mapping[str, Reply]], which: Callable[[Reply], bool]) -> dict[str, int]:
    return {system: sum(map(which, by_question.values())) for system, by_question in replies.items()}
