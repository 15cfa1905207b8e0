"""Ask the teacher: an order of each list from a black-box LLM, within the budget, every answer kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rankstill.teacher.asking import Asker, CandidateList, RankedAnswer
from rankstill.teacher.black_box import BlackBox
from rankstill.teacher.endpoint import named
from rankstill.teacher.health import Health, health_of
from rankstill.teacher.rankings import Ranking

if TYPE_CHECKING:
    from rankstill.config import TeacherConfig
    from rankstill.engine import RayEngine


class Teacher(BlackBox[RankedAnswer]):
    """A black-box LLM that ranks lists.

    Raises:
        RankstillError: the ledger, the prompt template or a local model cannot be used, or a limit cannot be kept.
    """

    asker: Asker

    def __init__(
        self, config: TeacherConfig, paid_by: str, seed: int, engine: Callable[[], RayEngine] | None = None
    ) -> None:
        endpoint, model = named(config)
        super().__init__(config, Asker(config, endpoint, model, seed), paid_by, engine)

    def __enter__(self) -> Teacher:
        return self

    def rank(self, lists: Sequence[CandidateList]) -> tuple[list[Ranking], Health]:
        """Every list's ranking, and how the teacher did.

        A list that got no readable answer, or whose prompt is refused, is left out, counted and named; so is one whose
        calls failed, if the config accepts that.

        Raises:
            RankstillError: as `ask`.
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
        health = health_of(asked, {**missing, **left_out}, self.asker.model, self.ledger.own())
        return [ranking for ranking in rankings if ranking], health


def _why(asked: RankedAnswer) -> str:
    """Why a list that was asked to the end decided nothing."""
    if asked.order.status in ("refused", "unreadable"):
        return asked.order.status
    return "its answers contradict one another"
