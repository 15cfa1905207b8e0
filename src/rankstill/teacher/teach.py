"""Ask the teacher: an order of each list from a black-box LLM, within the budget, every answer kept; and its health."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rankstill.teacher.asking import Asker, CandidateList, RankedAnswer
from rankstill.teacher.black_box import BlackBox
from rankstill.teacher.consistency import PositionBias, position_bias
from rankstill.teacher.ledger import Spend
from rankstill.teacher.prices import dollars
from rankstill.teacher.rankings import Ranking

if TYPE_CHECKING:
    from rankstill.config import TeacherConfig
    from rankstill.teacher.client.endpoint import Reach


@dataclass(frozen=True)
class Health:
    """A teacher's health over some lists.

    Args:
        left_out: of the others: query id and why.
        cut: unreadable ones that had reached the longest answer allowed.
        agreement: between shuffles of a list, mean Kendall's tau; None for one shuffle.
        bias: of position; None for one shuffle.
        spend: what this experiment has paid for, in all its runs.
    """

    model: str
    lists: int
    left_out: Mapping[str, str]
    statuses: Mapping[str, int]
    cut: int
    agreement: float | None
    bias: PositionBias | None
    spend: Spend

    def lines(self) -> list[str]:
        """The summary for the terminal, a line a finding."""
        answers = sum(self.statuses.values())
        read = ", ".join(f"{count:,} {status}" for status, count in sorted(self.statuses.items()))
        lines = [f"teacher {self.model}: {self.lists:,} lists ranked; of {answers:,} answers {read or 'none'}"]
        if self.left_out:
            reasons = "; ".join(f"{query_id}: {why}" for query_id, why in list(self.left_out.items())[:3])
            reasons += "; ..." if len(self.left_out) > 3 else ""
            lines.append(f"queries without a list: {len(self.left_out):,} ({reasons})")
        if self.cut:
            lines.append(f"{self.cut:,} answers were cut off before they could be read: raise teacher.answer_tokens")
        if self.agreement is not None:
            lines.append(f"agreement between shuffles: Kendall's tau {self.agreement:.2f} (1: always the same order)")
        if self.bias is not None:
            lines.append(
                f"position bias: {self.bias.slope:.2f} (0: none; 1: repeats the order shown; below 0: prefers the end)"
            )
        lines.append(paid(self.spend))
        return lines


def paid(spend: Spend) -> str:
    """What an experiment has paid for, in one line."""
    if not spend.calls:
        return "paid for by this experiment: nothing, every answer was there already"
    cost = "price unknown" if spend.cost is None else dollars(spend.cost)
    return (
        f"paid for by this experiment: {spend.calls:,} calls, {spend.tokens_in:,} tokens in, "
        f"{spend.tokens_out:,} out, {cost}"
    )


class Teacher(BlackBox[RankedAnswer]):
    """A black-box LLM that ranks lists.

    Raises:
        RankstillError: the ledger, the prompt template or a local model cannot be used, or a limit cannot be kept.
    """

    asker: Asker

    def __init__(self, config: TeacherConfig, paid_by: str, seed: int, by_workers: Reach | None = None) -> None:
        super().__init__(config, Asker(config, seed), paid_by, by_workers)

    def rank(self, lists: Sequence[CandidateList]) -> tuple[list[Ranking], Health]:
        """Every list's ranking, and how the teacher did.

        A list that got no readable answer, or whose prompt is refused, is left out, counted and named; so is one whose
        calls failed, if the config accepts that.
        """
        return self.ranked(lists, self.ask(lists))

    def ranked(
        self, lists: Iterable[CandidateList], missing: Mapping[str, str] | None = None
    ) -> tuple[list[Ranking], Health]:
        """What `rank` returns, of the answers that are there; nothing is asked.

        Args:
            lists: those whose answers are not all there count as not asked.
            missing: lists that will get no answer: query id and why.
        """
        missing = missing or {}
        asked = self.settled(lists, missing)
        rankings = [each.ranking(self.asker.model, self.asker.template.identity) for each in asked]
        left_out = {each.of.query_id: _why(each) for each, made in zip(asked, rankings, strict=True) if made is None}
        readings = [reading for each in asked for reading in each.readings]
        agreements = [each.agreement for each in asked if each.agreement is not None]
        health = Health(
            model=self.asker.model,
            lists=sum(each.decided for each in asked),
            left_out={**missing, **left_out},
            statuses=dict(Counter(reading.status for reading in readings)),
            cut=sum(reading.cut for reading in readings),
            agreement=sum(agreements) / len(agreements) if agreements else None,
            bias=position_bias(each.shuffles for each in asked),
            spend=self.ledger.own(),
        )
        return [ranking for ranking in rankings if ranking], health


def _why(asked: RankedAnswer) -> str:
    """Why a list that was asked to the end decided nothing."""
    if asked.order.status in ("refused", "unreadable"):
        return asked.order.status
    return "its answers contradict one another"
