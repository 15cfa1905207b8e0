"""A list asked several times in different shuffles: one order out of many, their agreement, and position bias."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rankstill.teacher.strategies import Order, decided


def borda(orders: Sequence[Order]) -> Order:
    """The order by mean rank: Borda's count.

    Of n candidates the best of an order gets n - 1 points, the next n - 2; those that it did not place share the mean
    of the points that are left. Equal sums are put in candidate order. The LLM's own positions end where that settles
    too much (see `decided`), and there are never more of them than candidates that some order placed.

    Raises:
        ValueError: there is no order, or they are of different candidates.
    """
    candidates = _candidates(orders)
    points = dict(zip(candidates, -_ranks(orders, candidates).sum(axis=0), strict=True))
    ranked = sorted(candidates, key=lambda each: (-points[each], each))
    own = decided(ranked, lambda one, other: bool(points[one] > points[other]))
    placed = {each for order in orders for each in order.order[: order.own]}
    if not placed:
        return Order(tuple(ranked), 0, orders[0].status)
    whole = all(order.status == "exact" for order in orders)
    return Order(tuple(ranked), min(own, len(placed)), "exact" if whole else "repaired")


def agreement(orders: Sequence[Order]) -> float | None:
    """Mean Kendall's tau between the orders: 1 when all say the same, about 0 when they are random.

    Each pair of orders is compared on the candidates that both placed; a pair with fewer than two of those is passed
    over.

    Returns:
        The mean, or None when no two orders can be compared.
    """
    taus = [_tau(one, other) for one, other in itertools.combinations(orders, 2)]
    found = [tau for tau in taus if tau is not None]
    return sum(found) / len(found) if found else None


@dataclass(frozen=True)
class PositionBias:
    """What the place in the prompt did to the rank.

    Args:
        by_position: for each shown position, the mean rank given there minus what a position-blind teacher would give;
            negative: favoured.
        slope: ranks that a candidate falls for each position that it is shown further down: 1 for a teacher that
            repeats the order shown, above 0 for one that favours what comes first, about 0 for a blind one, below 0
            for one that favours what comes last. For a teacher that knows nothing else it is Spearman's correlation
            between shown position and given rank.
    """

    by_position: tuple[float, ...]
    slope: float
    lists: int


def position_bias(lists: Iterable[Sequence[tuple[Sequence[int], Order]]]) -> PositionBias | None:
    """How far a teacher's ranks depend on where candidates are shown.

    A position-blind teacher gives a candidate one rank wherever it is shown; so each rank is compared with the mean of
    the same candidate's ranks over its list's shuffles, and each position likewise. Shuffles that bring each candidate
    to the same mean position, as an even number of `shuffles` does, make `by_position` exact.

    Args:
        lists: for each list its shuffles: the candidates in the order shown, and what the teacher made of them.

    Returns:
        The bias, or None when no list was ranked in two different shuffles: one alone cannot tell bias from merit.
    """
    positions, moved, shifts = [], [], []
    for shuffled in lists:
        readable = [(tuple(shown), order) for shown, order in shuffled if order.own]
        if len({shown for shown, _ in readable}) < 2:
            continue
        candidates = _candidates([order for _, order in readable])
        ranks = _ranks([order for _, order in readable], candidates)
        places = np.array([[shown.index(each) for each in candidates] for shown, _ in readable])
        positions.append(places.ravel())
        moved.append((places - places.mean(axis=0)).ravel())
        shifts.append((ranks - ranks.mean(axis=0)).ravel())
    if not positions:
        return None
    position, move, shift = np.concatenate(positions), np.concatenate(moved), np.concatenate(shifts)
    by_position = np.bincount(position, weights=shift) / np.bincount(position)
    return PositionBias(tuple(by_position.tolist()), float(move @ shift / (move @ move)), len(positions))


def _candidates(orders: Sequence[Order]) -> list[int]:
    candidates = {frozenset(order.order) for order in orders}
    if len(candidates) != 1:
        raise ValueError("orders of the same candidates are needed, at least one")
    return sorted(candidates.pop())


def _ranks(orders: Sequence[Order], candidates: Sequence[int]) -> NDArray[np.float64]:
    """Ranks from 0; candidates that an order did not place share the mean of the ranks left. [orders, candidates]"""
    ranks = np.empty((len(orders), len(candidates)))
    for row, order in zip(ranks, orders, strict=True):
        rank = dict.fromkeys(order.order, (order.own + len(order.order) - 1) / 2)
        rank.update((each, place) for place, each in enumerate(order.order[: order.own]))
        row[:] = [rank[each] for each in candidates]
    return ranks


def _tau(one: Order, other: Order) -> float | None:
    place = {each: number for number, each in enumerate(other.order[: other.own])}
    # The other order's places, in this one's order: a pair agrees where they rise.
    places = [place[each] for each in one.order[: one.own] if each in place]
    if len(places) < 2:
        return None
    agreeing = [1 if earlier < later else -1 for earlier, later in itertools.combinations(places, 2)]
    return sum(agreeing) / len(agreeing)
