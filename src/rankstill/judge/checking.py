"""Check a judge on a few queries before all are paid for: does it agree with itself, and with people if they judged?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rankstill.judge.agreement import HumanAgreement, SelfConsistency, human_agreement, self_consistency
from rankstill.progress import say
from rankstill.report.verdict import verdict
from rankstill.teacher.live import NothingDecidedError
from rankstill.teacher.teach import paid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rankstill.config import Config
    from rankstill.data.dataset import Qrels
    from rankstill.evaluation.runs import Run
    from rankstill.judge.grading import GradedAnswer, Judge
    from rankstill.teacher.asking import CandidateList
    from rankstill.teacher.prices import Quote

Verdict = Literal["can judge", "cannot judge", "not sure"]

_FEWEST = 6
"""Queries for a verdict."""
_TELLS_APART = 0.05
"""Share of the queries whose passages must not all have one grade, or that grade is all that a judge says."""
_BY_CHANCE = 0.1
"""Share of grades drawn by chance from which on a judge is too noisy."""
_ONE_SIDED, _CHANGED, _SURE = 0.75, 0.05, 0.01
"""Share of the changed grades that went one way, share of the passages that changed, and p, for a bias of position."""
_SUBSTANTIAL = 0.6
"""Kappa from which on agreement is called substantial (Landis and Koch 1977)."""


@dataclass(frozen=True)
class JudgeCheck:
    """What the check of a judge found.

    Args:
        people: with people; None where they judged none of the queries.
        unreadable: passages without a grade, in either order.
        paid: by this experiment, in one line.
        all: expected to be taken by the judgement of all queries, beyond what is answered now.
    """

    model: str
    verdict: Verdict
    why: str
    itself: SelfConsistency
    people: HumanAgreement | None
    unreadable: int
    paid: str
    all: Quote

    def lines(self) -> list[str]:
        """The summary for the terminal: a line a finding, the verdict first."""
        found = self.itself
        lines = [
            f"{self.verdict}: {self.why}",
            f"judge {self.model}: {found.queries:,} queries in two orders, {found.passages:,} passages graded twice"
            + (
                f", {self.unreadable:,} grades missing, because the answer could not be read" if self.unreadable else ""
            ),
            f"agreement with itself: kappa {_figure(found.kappa)} (quadratic weights; 1: always the same grade); "
            f"{found.changed:,} grades changed with the order, {found.far:,} of them by two or more",
        ]
        if found.changed:
            lines.append(
                f"of the changed grades {found.earlier:,} were higher where the passage stood earlier "
                f"(sign test: p = {found.p_value:.3f})"
            )
        if self.people is not None:
            lines += human_agreement_lines(self.people)
        else:
            lines.append("no judgements by people: whether its grades are right, and not only steady, is not known")
        return [*lines, self.paid, f"all queries as configured: {self.all}"]


def human_agreement_lines(found: HumanAgreement) -> list[str]:
    """How a judge compares with people, a line a finding."""
    assumed = " (passages without a judgement count as not relevant)" if found.assumed else ""
    ours, theirs = (verdict(table, Path()) for table in (found.by_judge, found.by_people))
    return [
        f"agreement with people on {found.passages:,} passages of {found.queries:,} queries{assumed}: Cohen's kappa "
        f"{_figure(found.kappa)} of relevant and not relevant",
        f"order of the systems by the judge and by people: Kendall's tau {_figure(found.tau)}",
        f"{'the same verdict' if ours.kind == theirs.kind else 'ANOTHER verdict'} by the judge and by people:",
        f"  by people: {theirs.sentence}",
        f"  by the judge: {ours.sentence}",
    ]


def check(
    judge: Judge,
    lists: Sequence[CandidateList],
    quote_all: Callable[[], Quote],
    people: Qrels,
    runs: Mapping[str, Run],
    config: Config,
) -> JudgeCheck:
    """Have each list graded in two orders, and say whether the grades can be measured by.

    Args:
        quote_all: what the judgement of all queries is expected to take.

    Raises:
        RankstillError: the judge cannot be asked or its budget is reached; what is done is kept.
    """
    say(f"to be asked: {judge.quote(lists)}")
    try:
        graded = judge.settled(lists, judge.ask(lists))
    except NothingDecidedError:  # a finding like any other
        graded = judge.settled(lists, {})
    itself = self_consistency(graded)
    by_first = {each.of.query_id: each.grades[0] for each in graded}
    beside = human_agreement(by_first, people, runs, config)
    verdict, why = _verdict(itself, beside, graded)
    return JudgeCheck(
        model=judge.asker.model,
        verdict=verdict,
        why=why,
        itself=itself,
        people=beside,
        unreadable=sum(2 * len(each.of.ids) - sum(map(len, each.grades)) for each in graded),
        paid=paid(judge.ledger.own()),
        all=quote_all(),
    )


def _verdict(
    found: SelfConsistency, people: HumanAgreement | None, graded: Sequence[GradedAnswer]
) -> tuple[Verdict, str]:
    """The first fault, else whether the agreement is enough."""
    if not any(each.decided for each in graded):
        if 2 * sum(each.cut for each in graded) > sum(each.prompts for each in graded):
            return "not sure", "its answers are cut off before they can be read: raise judge.answer_tokens"
        return "cannot judge", "none of its answers could be read as grades"
    if found.queries < _FEWEST:
        return "not sure", f"{found.queries:,} queries are too few to tell"
    if found.told_apart < _TELLS_APART * found.queries:
        return "cannot judge", (
            f"it gives one grade, {found.commonest}, whatever it reads: it told passages apart for "
            f"{found.told_apart:,} of {found.queries:,} queries"
        )
    one_way = max(found.earlier, found.changed - found.earlier)
    if found.p_value < _SURE and one_way >= _ONE_SIDED * found.changed and found.changed >= _CHANGED * found.passages:
        side = "first" if one_way == found.earlier else "last"
        return "cannot judge", (
            f"it prefers what is shown {side}: of {found.changed:,} grades that changed with the order, {one_way:,} "
            "were higher where the passage stood nearer to that end"
        )
    if found.by_chance >= _BY_CHANCE:
        return "cannot judge", (
            f"its grades are noise in part: {found.far:,} of {found.passages:,} passages got another grade by two or "
            f"more in another order, as if {found.by_chance:.0%} of its grades were drawn by chance"
        )
    if people is not None and people.kappa is not None and people.kappa <= 0:
        return "cannot judge", "it agrees with people no better than chance"
    if found.kappa is not None and found.kappa >= _SUBSTANTIAL:
        return "can judge", "it tells passages apart, and grades them alike in either order"
    return "not sure", "it wavers between neighbouring grades: ask about more queries (--queries), or a larger model"


def _figure(value: float | None) -> str:
    return "not known" if value is None else f"{value:.2f}"
