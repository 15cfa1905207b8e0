"""What kind of list teaches best: other orders of the very passages that the LLM ranked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from rankstill.datasets import Qrels
from rankstill.teacher.rankings import Ranking

ListKind = Literal["llm", "gold-llm", "gold-first-stage", "first-stage", "random"]
"""The LLM's order; gold moved to the front of the LLM's order, or of the first stage's; the first stage's; a random
one."""


def relist(
    rankings: Sequence[Ranking],
    kind: ListKind,
    found: Mapping[str, Sequence[str]],
    qrels: Qrels,
    seed: int,
) -> list[Ranking]:
    """The same queries and passages in another order.

    Args:
        found: ids of each query's candidates in the first stage's order; a ranked passage that is not there goes last.
        qrels: gold moves to the front only where it is among the candidates; nothing is put into a list.
        seed: of the random order, and of nothing else.

    Returns:
        Rankings in the order given. A list of the LLM's that places a part of its candidates keeps that part.
    """
    random = np.random.default_rng(seed)
    return [_relist(ranking, kind, found.get(ranking.query_id, ()), qrels, random) for ranking in rankings]


def _relist(
    ranking: Ranking, kind: ListKind, found: Sequence[str], qrels: Qrels, random: np.random.Generator
) -> Ranking:
    order = list(ranking.ranking)
    if kind == "random":
        order = [ranking.candidates[row] for row in random.permutation(len(ranking.candidates))]
    elif kind in ("first-stage", "gold-first-stage"):
        order = in_order_of(ranking.candidates, found)
    if kind.startswith("gold"):
        gold = qrels.get(ranking.query_id, {})
        order = sorted(order, key=lambda passage_id: gold.get(passage_id, 0) <= 0)  # stable: else as they were
    return replace(ranking, ranking=tuple(order))


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
