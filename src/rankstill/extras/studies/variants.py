"""What a study compares: experiments that differ in a part of the configuration or in the lists that teach."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from rankstill.config import Config
from rankstill.data import Qrels
from rankstill.evaluation.systems import DISTILLED, UNTRAINED
from rankstill.teacher.rankings import Ranking

DIRECT: dict[str, Any] = {
    "labels.ranked_by": "llm",
    "candidates.n": 10,
    "retriever.learning_rate": 1e-4,
    "retriever.epochs": 1,
    "retriever.blend": 1.0,
    "retriever.student_temperature": 0.1,
}
"""No ranker in between: the encoder itself is trained on the order, by KL divergence with in-batch negatives."""
BY_RANKER = {**DIRECT, "labels.ranked_by": "ranker", "labels.unranked": 0}
"""A ranker in between, which labels the same lists and nothing else."""
ListKind = Literal["llm", "gold-llm", "gold-first-stage", "first-stage", "random"]
"""The LLM's order; gold moved to the front of the LLM's order, or of the first stage's; the first stage's; a random
one."""


@dataclass(frozen=True)
class Variant:
    """One experiment of a study.

    Args:
        name: unique in its study, fit for a file name.
        changes: to the configuration, by dotted path.
        against: the variant that it is compared with; None: the retriever before.
        lists: what the teacher's lists become.
        size: how many of them there are; None: all.
        k: passages of a list; None: all that the LLM was shown.
        system: what is measured of its chain, one of the names in `evaluation.systems`.
    """

    name: str
    what: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    against: str | None = None
    lists: ListKind = "llm"
    size: int | None = None
    k: int | None = None
    system: str = DISTILLED

    @property
    def trained(self) -> bool:
        """Whether a seed makes a difference."""
        return self.system not in UNTRAINED


@dataclass(frozen=True)
class StudyData:
    """The data that a study can work with.

    Args:
        answers: whether training queries have accepted answers, which the white-box methods read.
    """

    lists: int
    answers: bool
    config: Config
    has_ranker: bool


@dataclass(frozen=True)
class Study:
    """A question and the variants that answer it."""

    name: str
    question: str
    variants: Callable[[StudyData], tuple[Variant, ...]]


def relist(
    rankings: Sequence[Ranking], kind: ListKind, found: Mapping[str, Sequence[str]], qrels: Qrels, seed: int
) -> list[Ranking]:
    """The same queries and passages in another order.

    Args:
        found: ids of each query's candidates in the first stage's order; a ranked passage that is not there goes last.
        qrels: gold moves to the front only where it is among the candidates; nothing is put into a list.
        seed: of the random order, and of nothing else.

    Returns:
        Rankings in the order given. A list of the LLM's that places a part of its candidates keeps that part.
    """
    random, relisted = np.random.default_rng(seed), []
    for ranking in rankings:
        order = list(ranking.ranking)
        if kind == "random":
            order = [ranking.candidates[row] for row in random.permutation(len(ranking.candidates))]
        elif kind in ("first-stage", "gold-first-stage"):
            order = in_order_of(ranking.candidates, found.get(ranking.query_id, ()))
        if kind.startswith("gold"):
            gold = {passage_id for passage_id, grade in qrels.get(ranking.query_id, {}).items() if grade > 0}
            order = sorted(order, key=lambda passage_id: passage_id not in gold)  # stable: else as they were
        relisted.append(replace(ranking, ranking=tuple(order)))
    return relisted


def in_order_of(passage_ids: Sequence[str], found: Sequence[str]) -> list[str]:
    """Passages in the order in which they were found; those that were not go last, as they were."""
    place = {passage_id: rank for rank, passage_id in enumerate(found)}
    return sorted(passage_ids, key=lambda passage_id: place.get(passage_id, len(place)))


def shorten(rankings: Sequence[Ranking], k: int, found: Mapping[str, Sequence[str]]) -> list[Ranking]:
    """The lists as they would be, had the LLM been shown the first stage's best k alone.

    It may have ordered fewer differently; its order of ten is the best guess that costs nothing.
    """
    short = []
    for ranking in rankings:
        kept = set(in_order_of(ranking.candidates, found.get(ranking.query_id, ()))[:k])
        parts = [tuple(each for each in ids if each in kept) for ids in (ranking.candidates, ranking.ranking)]
        short.append(replace(ranking, candidates=parts[0], ranking=parts[1]))
    return short


def draw(rankings: Sequence[Ranking], size: int, seed: int) -> list[Ranking]:
    """A sample of the lists, in their own order; that of a smaller size is part of a larger one's."""
    rows = np.random.default_rng(seed).permutation(len(rankings))[:size]
    return [rankings[int(row)] for row in np.sort(rows)]
