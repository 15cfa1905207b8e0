"""How to rank candidates with an LLM that sees a few at a time: strategies that yield asks and are sent readings.

A strategy is a generator. It yields rounds of asks that do not depend on one another, is sent their readings in the
same order, and returns an `Order`. It knows nothing of prompts, calls or money.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

from rankstill.teacher.calls import Ask, Reading, Status

Strategy = Generator[list[Ask], list[Reading], "Order"]


@dataclass(frozen=True)
class Order:
    """A list's candidates, best first, and how far down the LLM itself decided.

    Args:
        order: candidate numbers, all of the list.
        own: how many leading ones are the LLM's; the rest is filled up, where nothing else is known in candidate order.
        status: "exact" or "repaired"; "refused" or "unreadable" when a lost answer left nothing that is the LLM's.
    """

    order: tuple[int, ...]
    own: int
    status: Status


def listwise(shown: Sequence[int], window: int, step: int) -> Strategy:
    """Sliding windows from the tail to the head, each reordered in place: RankGPT (Sun et al. 2023).

    What a window's reading leaves out follows what it places. If every reading was complete the whole order is the
    LLM's, as in the paper. If not, its own positions end

    - before the first candidate that some reading left out, for such a one owes its place to a default, and
    - after the last standing of the candidates that an incomplete reading placed, for that reading says only that they
      come before those it left out: whoever stands below them was never compared with those.

    One lost reading breaks the chain from tail to head: nothing is the LLM's then, and no more is asked.

    Args:
        window: two candidates at least.
        step: how far the window moves, from 1 to window - 1. What it keeps, window - step, is how many can rise from
            the tail to the head.
    """
    ranked = list(shown)
    readings: list[Reading] = []
    incomplete: list[tuple[list[int], list[int]]] = []
    for start in _window_starts(len(ranked), window, step):
        seen = ranked[start : start + window]
        [reading] = yield [Ask("listwise", tuple(seen))]
        if _is_lost(reading):
            return _filled((), shown, reading.status)
        readings.append(reading)
        placed = [seen[position] for position in reading.order]
        left_out = [each for each in seen if each not in set(placed)]
        if left_out:
            incomplete.append((placed, left_out))
        ranked[start : start + window] = placed + left_out
    own = _own_leading(ranked, incomplete) if readings else 0
    return _filled(ranked[:own], shown, _status(readings))


def setwise(shown: Sequence[int], set_size: int, top: int) -> Strategy:
    """The best `top`, by asking for the best of several: setwise prompting (Zhuang et al. 2024).

    A tournament in place of the paper's heap: fewer asks, and the sets of its first levels go out in one round. When a
    winner is taken out only those that it beat itself can be next, so the tournament goes on among them.

    If a reading is lost, the LLM's own positions end before the one that it was to decide, and no more is asked.

    Args:
        set_size: two candidates at least.
    """
    if len(shown) < 2:
        return _filled((), shown, "exact")
    place = {each: number for number, each in enumerate(shown)}
    readings: list[Reading] = []
    best: list[int] = []
    # Whom each candidate beat, one group a level of the tournament, lowest first: fewer than `set_size` a group.
    beaten: dict[int, list[list[int]]] = {each: [] for each in shown}
    pending = [list(shown)]  # those that no one left has beaten, in groups likewise
    while pending and len(best) < top:
        contenders = pending.pop(0)
        while pending and len(contenders) + len(pending[0]) <= set_size:
            contenders += pending.pop(0)
        if len(contenders) == 1:
            best += contenders
            pending = beaten[contenders[0]]
            continue
        contenders.sort(key=place.__getitem__)  # or the winner so far would always be shown first
        # Only full sets while there are any, for each ask then rules out as many as it can.
        full = len(contenders) // set_size * set_size
        sets = [contenders[start : start + set_size] for start in range(0, full, set_size)] or [contenders]
        said = yield [Ask("setwise", tuple(each)) for each in sets]
        lost = [reading for reading in said if _is_lost(reading)]
        if lost:
            return _filled(best, shown, "repaired" if best else lost[0].status)
        readings += said
        winners = []
        for each, reading in zip(sets, said, strict=True):
            winner = each[reading.order[0]]
            beaten[winner].append([other for other in each if other != winner])
            winners.append(winner)
        pending.insert(0, winners + (contenders[full:] if full else []))
    return _filled(best, shown, _status(readings))


def pairwise(shown: Sequence[int]) -> Strategy:
    """Every pair in both orders, in one round: PRP-Allpair (Qin et al. 2023).

    A candidate gets a point for each pair that it wins in both orders and half a point for each tie: a pair whose two
    orders disagree, or one of whose readings is lost. Equal points are put in candidate order, which the LLM did not
    say; its own positions end where that settles too much (see `decided`).
    """
    if len(shown) < 2:
        return _filled((), shown, "exact")
    pairs = list(itertools.combinations(shown, 2))
    readings = yield [Ask("pairwise", pair) for first, second in pairs for pair in ((first, second), (second, first))]
    points = dict.fromkeys(shown, 0.0)
    for (first, second), said, swapped in zip(pairs, readings[::2], readings[1::2], strict=True):
        known = not _is_lost(said) and not _is_lost(swapped)
        if known and said.order[0] != swapped.order[0]:
            points[(first, second)[said.order[0]]] += 1
        else:
            points[first] += 0.5
            points[second] += 0.5
    ranked = tuple(sorted(shown, key=lambda each: (-points[each], each)))
    own = decided(ranked, lambda one, other: points[one] > points[other])
    lost = [reading.status for reading in readings if _is_lost(reading)]
    return Order(ranked, own, lost[0] if lost and not own else _status(readings))


def decided(order: Sequence[int], beats: Callable[[int, int], bool]) -> int:
    """How many leading positions of an order are more than tie-breaking.

    A training loss takes a leading position to say: better than all that follow. It counts while the one that stands
    there beats at least half of them. So a tie between the two best costs nothing, and a teacher that ties all decides
    nothing.

    Args:
        order: candidate numbers, best first.
        beats: whether the teacher put the first candidate above the second; False for a tie.
    """
    for place, each in enumerate(order):
        followers = order[place + 1 :]
        if 2 * sum(beats(each, other) for other in followers) < len(followers):
            return place
    return len(order)


def shuffles(count: int, times: int, seed_text: str) -> list[tuple[int, ...]]:
    """Different orders in which to show one list, the same on every machine and version of Python.

    The candidate order and its reverse, then drawn permutations, each followed by its reverse: so each candidate is
    shown as often near the head as near the tail, exactly so when `times` is even.

    Args:
        times: how many orders; fewer come back when the list has fewer.
        seed_text: what the draw depends on, such as a seed and the query's id.
    """
    chosen: list[tuple[int, ...]] = []
    wanted = min(times, math.factorial(count))
    draw = 0
    while len(chosen) < wanted:
        order = tuple(range(count)) if draw == 0 else _permutation(count, f"{seed_text}\n{draw}")
        draw += 1
        if order not in chosen:
            # All so far came in pairs, so the reverse is new too, except of a list of one.
            chosen += list(dict.fromkeys([order, order[::-1]]))
    return chosen[:wanted]


def _permutation(count: int, seed_text: str) -> tuple[int, ...]:
    def draw(number: int) -> bytes:
        return hashlib.sha256(f"{seed_text}\n{number}".encode("utf-8", "surrogatepass")).digest()

    return tuple(sorted(range(count), key=draw))


def _own_leading(ranked: Sequence[int], incomplete: Sequence[tuple[list[int], list[int]]]) -> int:
    """How many leading positions are the LLM's, by what each incomplete reading placed and left out."""
    place = {each: number for number, each in enumerate(ranked)}
    ends = [len(ranked)]
    for placed, left_out in incomplete:
        ends.append(min(place[each] for each in left_out))
        ends.append(max((place[each] + 1 for each in placed), default=0))
    return min(ends)


def _window_starts(count: int, window: int, step: int) -> list[int]:
    """Where each window begins, tail first. The last one starts at the head and is as long as the others."""
    return [*range(count - window, 0, -step), 0] if count > 1 else []


def _is_lost(reading: Reading) -> bool:
    return reading.status in ("refused", "unreadable")


def _status(readings: Sequence[Reading]) -> Status:
    return "exact" if all(reading.status == "exact" for reading in readings) else "repaired"


def _filled(own: Sequence[int], shown: Sequence[int], status: Status) -> Order:
    """The LLM's own positions, then the others in candidate order."""
    return Order((*own, *sorted(set(shown) - set(own))), len(own), status)
