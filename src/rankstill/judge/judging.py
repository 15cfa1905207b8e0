"""Have an LLM grade the best passages of every system of a chain that has searched, and keep its grades."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from rankstill.data.writing import qrels_tsv
from rankstill.errors import DataError, RankstillError
from rankstill.evaluation.chain_runs import searched_queries
from rankstill.evaluation.judged import FILE, QRELS, Judgements, read_judgements
from rankstill.evaluation.runs import Run
from rankstill.evaluation.systems import read_runs
from rankstill.judge.grading import GradedAnswer, Judge
from rankstill.judge.pool import draw_queries, pool, runs_of
from rankstill.progress import say
from rankstill.teacher.teach import paid

if TYPE_CHECKING:
    from rankstill.data import Query
    from rankstill.outcome import Outcome
    from rankstill.pipeline import Chain
    from rankstill.teacher.asking import CandidateList


@dataclass(frozen=True)
class JudgeTask:
    """A judge and what it is to grade.

    Args:
        chain: the chain that has searched.
        judge: the LLM.
        queries: drawn.
        runs: the runs of the workspace's own systems, which are measured.
        lists: what has no grade yet.
        known: what was judged here before by the same LLM and template, if anything.
    """

    chain: Chain
    judge: Judge
    queries: Sequence[Query]
    runs: dict[str, Run] = field(repr=False)
    lists: Sequence[CandidateList] = field(repr=False)
    known: Judgements | None

    def extent(self) -> str:
        """How much is to be graded, and by which LLM."""
        passages = sum(len(each.ids) for each in self.lists)
        return f"{passages:,} passages of {len(self.lists):,} queries, by {self.judge.asker.model}"


def judge_task(chain: Chain, llm: Judge, others: Sequence[Path], *, must_ask: bool, anew: bool = False) -> JudgeTask:
    """What a judge is to grade, once every system has searched; a mistake in its options shows first.

    Args:
        chain: the chain; it searches, where it has not.
        llm: the judge.
        others: further workspaces, whose passages are judged with those of this one.
        must_ask: whether the judge will be asked.
        anew: whether what was graded here before is graded again.

    Raises:
        RankstillError: no query can be judged, the chain cannot run, or there is no key.
    """
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
    queries = draw_queries(searched_queries(dataset), chain.config.judge.queries, chain.config.seed)
    runs = read_runs(folder / "runs")
    known = None if anew else read_judgements(folder, dataset)
    if known is not None and (known.model, known.prompt) != (llm.asker.model, llm.asker.template.identity):
        say(f"note: {known.model} judged here with {known.prompt}; {llm.asker.model} judges all of it again")
        known = None
    systems = [*runs.values(), *runs_of(others, queries).values()]
    lists = pool(queries, systems, dataset, chain.config.judge.k, chain.config.seed, known.grades if known else {})
    return JudgeTask(chain, llm, queries, runs, lists, known)


def run_and_judge(chain: Chain) -> Outcome:
    """The whole chain, judged before it is measured: `judge.after_run`.

    A judge that cannot be asked at all is an error before anything is trained. One that stops on the way, at a limit or
    because calls fail, costs the run nothing but its judgement: a note says why, and what is answered is kept.

    Args:
        chain: a chain with unjudged queries, and none that is judged.

    Raises:
        RankstillError: the chain cannot run, or there is no judge to ask.
    """
    with Judge(chain.config, chain.components.account) as llm:
        work = judge_task(chain, llm, (), must_ask=True)
        try:
            lines = [*judgement_lines(graded(work)), paid(llm.ledger.own())]
        except RankstillError as error:
            outcome = chain.run()
            return dataclasses.replace(outcome, notes=(*outcome.notes, f"the judge did not finish: {error}"))
        for line in lines:
            say(line)
        return chain.run()


def graded(work: JudgeTask) -> Judgements:
    """Have everything graded, and put the grades into the workspace."""
    llm, workspace = work.judge, work.chain.workspace
    say(f"to be asked: {llm.quote(work.lists)}")
    missing = llm.ask(work.lists)
    judged = _merged(work, llm.settled(work.lists, missing), missing)
    workspace.write(FILE, judged.to_json())
    workspace.write(QRELS, qrels_tsv(judged.grades))
    return judged


def _merged(work: JudgeTask, graded: Sequence[GradedAnswer], missing: dict[str, str]) -> Judgements:
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


def judgement_lines(judged: Judgements) -> Iterator[str]:
    every = [grade for grades in judged.grades.values() for grade in grades.values()]
    counts = ", ".join(f"{every.count(grade):,} x {grade}" for grade in range(4))
    yield f"judged by {judged.by}: {len(every):,} passages of {len(judged.grades):,} queries ({counts})"
    if lost := sum(map(len, judged.failed.values())):
        yield f"{lost:,} passages have no grade: the answer could not be read, or the prompt was refused"
    if not judged.measuring():
        yield "no passage got a grade above 0, so nothing can be measured: `rankstill check-judge` looks at the judge"
