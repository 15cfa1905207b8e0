"""What the command line asks of a judge: its grades, its price, prompts for people, and whether it is any good."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from rankstill.errors import DataError, RankstillError
from rankstill.evaluation.chain_runs import searched_queries
from rankstill.evaluation.judged import FILE, QRELS, Judgements, read_judgements
from rankstill.evaluation.runs import Run
from rankstill.evaluation.systems import read_runs
from rankstill.judge.agreement import human_agreement
from rankstill.judge.checking import JudgeCheck, check, human_agreement_lines
from rankstill.judge.grading import GradedAnswer, Judge
from rankstill.judge.pool import draw_queries, pool, runs_of
from rankstill.pipeline import Chain, open_chain
from rankstill.progress import say
from rankstill.teacher import by_hand
from rankstill.teacher.teach import paid

if TYPE_CHECKING:
    from rankstill.config import Config
    from rankstill.datasets import Dataset, Query
    from rankstill.outcome import Outcome
    from rankstill.teacher.asking import CandidateList


@dataclass(frozen=True)
class JudgeOutcome:
    """The result of a judgement.

    Args:
        outcome: the chain's, measured by the judgements; None where people's measure already.
    """

    lines: tuple[str, ...]
    outcome: Outcome | None


@dataclass(frozen=True)
class _JudgeTask:
    """A judge and what it is to grade.

    Args:
        runs: the runs of the workspace's own systems, which are measured.
        known: what was judged here before by the same LLM and template, if anything.
    """

    chain: Chain
    judge: Judge
    queries: Sequence[Query]
    runs: dict[str, Run] = field(repr=False)
    lists: Sequence[CandidateList] = field(repr=False)
    known: Judgements | None


def judge(config: Config, workspace: str | Path, others: Sequence[Path] = ()) -> JudgeOutcome:
    """Have an LLM grade the best passages of every system, and measure the chain by its grades.

    The chain runs to its end first, where it has not. Passages that were judged here before, by the same LLM and
    template, are not asked again. The grades lie in `judged.json` and, as qrels, in `judged.tsv`. Where people judged
    the queries, figures stay as they are by people's judgements, and the judge is compared with them.

    Args:
        others: further workspaces, whose passages are judged with those of this one.

    Raises:
        RankstillError: the chain cannot run, or the judge not be asked; its limit is reached: what is done is kept.
    """
    with _at_work(config, workspace, others, must_ask=True) as work:
        judged = _graded(work)
        lines = [*_lines(judged), paid(work.judge.ledger.own())]
        people = human_agreement(judged.grades, work.chain.dataset.qrels, work.runs, config)
        if people is not None:
            lines += human_agreement_lines(people)
        return JudgeOutcome(tuple(lines), None if work.chain.dataset.test else work.chain.run())


def run_and_judge(config: Config, workspace: str | Path, dataset: Dataset, *, replace: bool = False) -> Outcome:
    """The whole chain, judged before it is measured: `judge.after_run`.

    A judge that cannot be asked at all is an error before anything is trained. One that stops on the way, at a limit or
    because calls fail, costs the run nothing but its judgement: a note says why, and what is answered is kept.

    Args:
        dataset: with unjudged queries, and none that is judged.

    Raises:
        RankstillError: the chain cannot run, or there is no judge to ask.
    """
    with _at_work(config, workspace, (), must_ask=True, dataset=dataset, replace=replace) as work:
        try:
            lines = [*_lines(_graded(work)), paid(work.judge.ledger.own())]
        except RankstillError as error:
            outcome = work.chain.run()
            return dataclasses.replace(outcome, notes=(*outcome.notes, f"the judge did not finish: {error}"))
        for line in lines:
            say(line)
        return work.chain.run()


def quote(config: Config, workspace: str | Path, others: Sequence[Path] = ()) -> list[str]:
    """What `judge` is expected to take, beyond what the ledger holds, for people. Asks nothing.

    Arguments and errors as for `judge`.
    """
    with _at_work(config, workspace, others) as work:
        passages = sum(len(each.ids) for each in work.lists)
        return [
            f"{passages:,} passages of {len(work.lists):,} queries, by {work.judge.asker.model}",
            *work.judge.quoted(work.lists),
        ]


def export_prompts(config: Config, workspace: str | Path, others: Sequence[Path], path: Path) -> int:
    """Write the prompts that wait for an answer, for whoever is to answer them by hand; how many there are."""
    with _at_work(config, workspace, others) as work:
        return by_hand.export_prompts(work.judge, work.lists, path)


def import_answers(
    config: Config, workspace: str | Path, others: Sequence[Path], path: Path
) -> tuple[int, int, Sequence[str]]:
    """Take answers back into the ledger: how many, how many queries wait for more, and notes of what was left aside."""
    with _at_work(config, workspace, others) as work:
        count, notes = by_hand.import_answers(work.judge, work.lists, path)
        return count, sum(1 for _ in work.judge.pending(work.lists)), notes


def check_judge(config: Config, workspace: str | Path, count: int) -> JudgeCheck:
    """Have the passages of a few queries graded twice: whether the LLM's grades can be measured by.

    The first of the two orders is that of `judge`, which pays for none of these calls again.
    """
    # A sample: queries whose calls are given up are passed over.
    sampled = config.teacher.model_copy(update={"accept_missing": True})
    config = config.model_copy(update={"teacher": sampled})
    with _at_work(config, workspace, (), must_ask=True, orders=2) as work:
        dataset, seed, k = work.chain.dataset, config.seed, config.judge.k
        lists = pool(work.queries[:count], list(work.runs.values()), dataset, k, seed, {})
        with Judge(config, work.chain.components.account) as once:
            return check(work.judge, lists, lambda: once.quote(work.lists), dataset.qrels, work.runs, config)


@contextmanager
def _at_work(
    config: Config,
    workspace: str | Path,
    others: Sequence[Path],
    *,
    must_ask: bool = False,
    orders: int = 1,
    dataset: Dataset | None = None,
    replace: bool = False,
) -> Iterator[_JudgeTask]:
    """The judge and what it is to grade, once every system has searched; a mistake in its options shows first."""
    with (
        open_chain(config, workspace, dataset, replace=replace) as chain,
        Judge(config, chain.components.account, orders) as llm,
    ):
        dataset, folder = chain.dataset, chain.workspace.folder
        if not (dataset.test or dataset.unjudged):
            raise DataError(
                f"{dataset.name}: every query teaches, or is measured by accepted answers, so none can be judged. Set "
                "dataset.test_queries to a file of further queries, or dataset.hold_out to how many not to learn from, "
                "and run again."
            )
        if must_ask and not chain.workspace.record("runs"):
            llm.check_key()
        chain.run("runs")
        queries = draw_queries(searched_queries(dataset), config.judge.queries, config.seed)
        runs = read_runs(folder / "runs")
        known = read_judgements(folder, dataset) if orders == 1 else None
        if known is not None and (known.model, known.prompt) != (llm.asker.model, llm.asker.template.identity):
            say(f"note: {known.model} judged here with {known.prompt}; {llm.asker.model} judges all of it anew")
            known = None
        systems = [*runs.values(), *runs_of(others, queries).values()]
        lists = pool(queries, systems, dataset, config.judge.k, config.seed, known.grades if known else {})
        yield _JudgeTask(chain, llm, queries, runs, lists, known)


def _graded(work: _JudgeTask) -> Judgements:
    """Have everything graded, and put the grades into the workspace."""
    llm, workspace = work.judge, work.chain.workspace
    say(f"to be asked: {llm.quote(work.lists)}")
    missing = llm.ask(work.lists)
    judged = _merged(work, llm.settled(work.lists, missing), missing)
    workspace.write(FILE, judged.to_json())
    workspace.write(QRELS, judged.to_qrels())
    return judged


def _merged(work: _JudgeTask, graded: Sequence[GradedAnswer], missing: dict[str, str]) -> Judgements:
    """All judgements: the earlier ones and the new ones."""
    known, llm = work.known, work.judge
    grades = {query_id: dict(each) for query_id, each in known.grades.items()} if known else {}
    for each in graded:
        if each.grades[0]:
            grades.setdefault(each.of.query_id, {}).update(each.grades[0])
    asked = {each.query_id for each in work.lists}
    failed = {query_id: ids for query_id, ids in known.failed.items() if query_id not in asked} if known else {}
    failed |= {each.of.query_id: each.failed for each in graded if each.failed}
    failed |= {each.query_id: each.ids for each in work.lists if each.query_id in missing}
    dates = dict.fromkeys([*(known.dates if known else ()), *([date.today().isoformat()] if work.lists else ())])
    components, dataset = work.chain.components, work.chain.dataset
    teachers = {ranking.teacher for ranking in components.lists.training} if "rankings" in work.chain.steps else set()
    return Judgements(
        model=llm.asker.model,
        prompt=llm.asker.template.identity,
        dates=tuple(dates),
        k=max(work.chain.config.judge.k, known.k if known else 0),
        teacher_too=llm.asker.model in teachers,
        corpus=dataset.corpus.fingerprint,
        queries={query_id: dataset.queries[query_id].text for query_id in (*grades, *failed)},
        grades=grades,
        failed=failed,
    )


def _lines(judged: Judgements) -> Iterator[str]:
    every = [grade for grades in judged.grades.values() for grade in grades.values()]
    counts = ", ".join(f"{every.count(grade):,} x {grade}" for grade in range(4))
    yield f"judged by {judged.by}: {len(every):,} passages of {len(judged.grades):,} queries ({counts})"
    if lost := sum(map(len, judged.failed.values())):
        yield f"{lost:,} passages have no grade: the answer could not be read, or the prompt was refused"
    if not judged.measuring():
        yield "no passage got a grade above 0, so nothing can be measured: `rankstill check-judge` looks at the judge"
