"""Ranking strategies, against oracles that sort by hidden scores, leave out, refuse, or look only at positions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rankstill.teacher import strategies as strategies_module
from rankstill.teacher.calls import Ask, Kind, Reading
from rankstill.teacher.strategies import (
    Order,
    Strategy,
    decided,
    listwise,
    pairwise,
    setwise,
    shuffles,
)

Teacher = Callable[[Ask], Reading]

LISTS = st.integers(2, 40).flatmap(
    lambda count: st.tuples(st.permutations(range(count)), st.permutations(range(count)))
)
"""A true order of some candidates and the order in which they are shown."""


def calls_needed(kind: Kind, count: int, window: int, step: int, set_size: int, top: int) -> int:
    """Asks for one list, if every answer is readable: exact for listwise and pairwise, an upper bound for setwise.

    Args:
        kind: of strategy.
        count: candidates in the list.
        window: as `listwise`, which alone reads it.
        step: likewise.
        set_size: as `setwise`, which alone reads it.
        top: likewise.
    """
    if kind == "listwise":
        return sum(1 for _ in strategies_module._window_starts(count, window, step))
    if kind == "pairwise":
        return count * (count - 1)
    calls, levels, contenders = 0, 0, count
    while contenders > 1:
        sets = max(contenders // set_size, 1)
        contenders = max(contenders - sets * (set_size - 1), 1)
        calls, levels = calls + sets, levels + 1
    # Then one ask a level for each further place: a winner beat one group a level, each merged into the next. Each ask
    # rules one out at least, so those that are left bound it too.
    return calls + sum(min(levels, count - taken - 1) for taken in range(1, min(top, count)))


def drive(strategy: Strategy, teacher: Teacher) -> tuple[Order, list[list[Ask]]]:
    """Run a strategy to its end; also the rounds that it asked."""
    rounds = []
    try:
        asks = next(strategy)
        while True:
            rounds.append(asks)
            asks = strategy.send([teacher(ask) for ask in asks])
    except StopIteration as stop:
        return stop.value, rounds


def asks_of(rounds: list[list[Ask]]) -> list[Ask]:
    return [ask for asks in rounds for ask in asks]


def oracle(truth: Sequence[int], keep: int | None = None) -> Teacher:
    """Sorts by the true order, naming the best `keep` of those shown; the best one alone where one is asked for."""
    rank = {candidate: place for place, candidate in enumerate(truth)}

    def answer(ask: Ask) -> Reading:
        best_first = sorted(range(len(ask.shown)), key=lambda position: rank[ask.shown[position]])
        named = tuple(best_first[: keep if ask.kind == "listwise" else 1])
        whole = len(named) == len(ask.shown) or ask.kind != "listwise"
        return Reading("exact" if whole else "repaired", named)

    return answer


def script(*readings: tuple[int, ...] | str) -> Teacher:
    """Says these one after the other: an order, or a status that is a loss."""
    lines = iter(readings)

    def answer(ask: Ask) -> Reading:
        line = next(lines)
        if isinstance(line, str):
            return Reading(line)
        return Reading("exact" if len(line) == len(ask.shown) or ask.kind != "listwise" else "repaired", line)

    return answer


def says_the_first(ask: Ask) -> Reading:
    """Never reads: repeats the order shown."""
    return Reading("exact", tuple(range(len(ask.shown))) if ask.kind == "listwise" else (0,))


# --- listwise


@given(lists=LISTS)
def test_a_list_in_one_window_gets_the_oracles_order_for_one_ask(lists):
    truth, shown = lists
    order, rounds = drive(listwise(shown, window=40, step=20), oracle(truth))
    assert order == Order(tuple(truth), len(truth), "exact")
    assert rounds == [[Ask("listwise", tuple(shown))]]


@given(lists=LISTS, window=st.integers(2, 12), data=st.data())
def test_sliding_windows_find_what_can_rise_in_order(lists, window, data):
    truth, shown = lists
    step = data.draw(st.integers(1, window - 1))
    order, rounds = drive(listwise(shown, window, step), oracle(truth))
    risen = window - step if len(truth) > window else len(truth)
    assert order.order[:risen] == tuple(truth[:risen])
    assert sorted(order.order) == sorted(truth)
    assert (order.own, order.status) == (len(truth), "exact")
    assert len(asks_of(rounds)) == calls_needed("listwise", len(truth), window, step, 0, 0)
    assert {candidate for ask in asks_of(rounds) for candidate in ask.shown} == set(shown)
    assert all(len(ask.shown) == min(window, len(truth)) for ask in asks_of(rounds))


def test_hand_worked_sliding_windows():
    # Tail window 2 3 4 5: its best two, 5 and 4, rise and meet 0 and 1.
    order, rounds = drive(listwise(range(6), window=4, step=2), script((3, 2, 1, 0), (2, 3, 0, 1)))
    assert [ask.shown for ask in asks_of(rounds)] == [(2, 3, 4, 5), (0, 1, 5, 4)]
    assert order == Order((5, 4, 0, 1, 3, 2), 6, "exact")


def test_the_head_is_seen_when_the_step_does_not_divide_the_list():
    _, rounds = drive(listwise(range(9), window=4, step=2), says_the_first)
    assert [ask.shown for ask in asks_of(rounds)] == [(5, 6, 7, 8), (3, 4, 5, 6), (1, 2, 3, 4), (0, 1, 2, 3)]


def test_of_a_partial_answer_only_what_it_placed_is_the_llms_and_the_rest_is_in_candidate_order():
    order, _ = drive(listwise([4, 3, 2, 1, 0], window=5, step=2), script((2, 0)))
    assert order == Order((2, 4, 0, 1, 3), 2, "repaired")


def test_own_positions_end_at_one_that_rose_by_default():
    # The tail window 2 3 4 5 names 5 alone, so 2 rises unnamed. The head puts it second: 0 2 5 1.
    order, _ = drive(listwise(range(6), window=4, step=2), script((3,), (0, 3, 2, 1)))
    assert order == Order((0, 1, 2, 3, 4, 5), 1, "repaired")


def test_own_positions_end_below_the_last_that_beat_those_left_behind():
    # The tail window 2 3 4 5 names 5 alone: 3 and 4 stay behind, beaten by 5 only. So 0, below 5, says nothing on them.
    order, _ = drive(listwise(range(6), window=4, step=2), script((3,), (2, 0, 1, 3)))
    assert order == Order((5, 0, 1, 2, 3, 4), 1, "repaired")
    # Above 5 it does: 0 and 1 beat 5, and 5 beat them.
    order, _ = drive(listwise(range(6), window=4, step=2), script((3,), (0, 1, 2, 3)))
    assert order == Order((0, 1, 5, 2, 3, 4), 3, "repaired")


def test_own_positions_end_with_what_the_last_window_placed():
    order, _ = drive(listwise(range(6), window=4, step=2), script((3, 2, 1, 0), (2, 3)))
    assert order == Order((5, 4, 0, 1, 2, 3), 2, "repaired")


@given(lists=LISTS, window=st.integers(2, 12), data=st.data())
def test_own_positions_of_truthful_partial_answers_are_the_true_ones_as_far_as_they_can_rise(lists, window, data):
    truth, shown = lists
    step = data.draw(st.integers(1, window - 1))
    keep = data.draw(st.integers(1, window))
    order, _ = drive(listwise(shown, window, step), oracle(truth, keep))
    sure = min(order.own, window - step)
    assert order.order[:sure] == tuple(truth[:sure])
    assert order.own >= 1
    if keep < min(window, len(truth)):
        assert order.own <= keep
        assert list(order.order[order.own :]) == sorted(order.order[order.own :])


@pytest.mark.parametrize("status", ["refused", "unreadable"])
def test_a_lost_window_leaves_nothing_and_stops_the_asking(status):
    order, rounds = drive(listwise([3, 1, 0, 2, 5, 4], window=3, step=1), script((2, 1, 0), status, (0, 1, 2)))
    assert order == Order((0, 1, 2, 3, 4, 5), 0, status)
    assert len(asks_of(rounds)) == 2


def test_a_repaired_answer_that_places_all_is_the_llms_but_not_exact():
    order, _ = drive(listwise(range(3), window=3, step=1), lambda ask: Reading("repaired", (2, 0, 1)))
    assert order == Order((2, 0, 1), 3, "repaired")


# --- setwise


@given(lists=LISTS, set_size=st.integers(2, 12), top=st.integers(1, 45))
@example(lists=(tuple(range(40)), tuple(range(40))), set_size=2, top=40)
@example(lists=(tuple(range(39, -1, -1)), tuple(range(40))), set_size=3, top=40)
def test_setwise_finds_the_oracles_best_within_its_quote(lists, set_size, top):
    truth, shown = lists
    order, rounds = drive(setwise(shown, set_size, top), oracle(truth))
    found = min(top, len(truth))
    assert order.order[:found] == tuple(truth[:found])
    assert list(order.order[found:]) == sorted(truth[found:])
    assert (order.own, order.status) == (found, "exact")
    asks = asks_of(rounds)
    assert len(asks) <= calls_needed("setwise", len(truth), 0, 0, set_size, top)
    assert all(2 <= len(ask.shown) <= set_size for ask in asks)


@given(lists=LISTS, set_size=st.integers(2, 12))
def test_the_best_one_takes_as_few_asks_as_any_method_could(lists, set_size):
    truth, shown = lists
    _, rounds = drive(setwise(shown, set_size, 1), oracle(truth))
    # Each ask rules out set_size - 1 at most, and all but one must be ruled out.
    assert len(asks_of(rounds)) == math.ceil((len(truth) - 1) / (set_size - 1))
    assert calls_needed("setwise", len(truth), 0, 0, set_size, 1) == len(asks_of(rounds))


@given(set_size=st.integers(2, 6), top=st.integers(1, 30), count=st.integers(2, 30), data=st.data())
def test_no_teacher_however_contrary_takes_more_than_the_quote_or_is_asked_twice(set_size, top, count, data):
    def contrary(ask: Ask) -> Reading:
        return Reading("exact", (data.draw(st.integers(0, len(ask.shown) - 1)),))

    order, rounds = drive(setwise(range(count), set_size, top), contrary)
    asks = asks_of(rounds)
    assert len(asks) <= calls_needed("setwise", count, 0, 0, set_size, top)
    assert len({frozenset(ask.shown) for ask in asks}) == len(asks)
    assert sorted(order.order) == list(range(count))


@pytest.mark.parametrize("set_size", [2, 3, 5])
@pytest.mark.parametrize("count", [20, 64, 100])
def test_no_winner_gathers_more_than_the_quote_allows_for(count, set_size):
    wins = Counter(range(count))

    def backs_the_winner(ask: Ask) -> Reading:
        favourite = max(ask.shown, key=lambda candidate: wins[candidate])
        wins[favourite] += count
        return Reading("exact", (ask.shown.index(favourite),))

    _, rounds = drive(setwise(range(count), set_size, count), backs_the_winner)
    assert len(asks_of(rounds)) <= calls_needed("setwise", count, 0, 0, set_size, count)


def test_independent_sets_go_out_in_one_round_and_the_next_best_is_sought_among_those_it_beat():
    order, rounds = drive(setwise(range(9), set_size=3, top=2), oracle([4, 5, 0, 8, 1, 2, 3, 6, 7]))
    assert [[ask.shown for ask in asks] for asks in rounds] == [
        [(0, 1, 2), (3, 4, 5), (6, 7, 8)],
        [(0, 4, 8)],
        [(3, 5)],
        [(0, 5, 8)],
    ]
    assert order == Order((4, 5, 0, 1, 2, 3, 6, 7, 8), 2, "exact")


def test_a_set_shows_its_candidates_in_the_lists_order_so_that_no_winner_comes_first_by_default():
    shown = (7, 0, 3, 8, 1, 5, 2, 6, 4)
    _, rounds = drive(setwise(shown, set_size=3, top=9), oracle(range(9)))
    for ask in asks_of(rounds):
        assert list(ask.shown) == sorted(ask.shown, key=shown.index)


def test_hand_worked_quote():
    # 100 in sets of 4: 25 asks leave 25, 6 leave 7, 1 leaves 4, 1 leaves the best; then 9 times 4 levels.
    assert calls_needed("setwise", 100, 0, 0, 4, 10) == 33 + 36


@pytest.mark.parametrize("status", ["refused", "unreadable"])
def test_own_positions_end_where_the_lost_comparison_begins(status):
    # 0 1 and 2 3 play, then the winners: 0 is best. Then 1 against 2 is lost.
    order, rounds = drive(setwise(range(4), set_size=2, top=3), script((0,), (0,), (0,), status, (0,)))
    assert order == Order((0, 1, 2, 3), 1, "repaired")
    assert len(asks_of(rounds)) == 4
    order, _ = drive(setwise([3, 2, 1, 0], set_size=2, top=3), script((0,), status))
    assert order == Order((0, 1, 2, 3), 0, status)


# --- pairwise


@given(lists=st.integers(2, 12).flatmap(lambda n: st.tuples(st.permutations(range(n)), st.permutations(range(n)))))
def test_pairwise_finds_the_oracles_order_in_one_round_of_all_pairs_both_ways(lists):
    truth, shown = lists
    order, rounds = drive(pairwise(shown), oracle(truth))
    assert order == Order(tuple(truth), len(truth), "exact")
    assert len(rounds) == 1
    every = Counter((one, other) for one in shown for other in shown if one != other)
    assert Counter(ask.shown for ask in rounds[0]) == every
    assert len(rounds[0]) == calls_needed("pairwise", len(truth), 0, 0, 0, 0)


def test_hand_worked_points_and_ties():
    # 2 beats 0 both ways; 0 and 1, 1 and 2 change with the order shown: points 0.5, 1, 1.5.
    said = {(0, 1): 0, (1, 0): 1, (0, 2): 2, (2, 0): 2, (1, 2): 1, (2, 1): 2}
    order, _ = drive(pairwise(range(3)), lambda ask: Reading("exact", (ask.shown.index(said[ask.shown]),)))
    assert said[0, 1] != said[1, 0]
    assert order == Order((2, 1, 0), 3, "exact")


def test_a_teacher_that_always_says_the_first_decides_nothing():
    order, _ = drive(pairwise([2, 0, 3, 1]), says_the_first)
    assert order == Order((0, 1, 2, 3), 0, "exact")


def test_a_lost_comparison_is_a_tie():
    def forgets_one(ask: Ask) -> Reading:
        return Reading("unreadable") if ask.shown == (3, 2) else oracle([3, 2, 1, 0])(ask)

    order, _ = drive(pairwise(range(4)), forgets_one)
    # 2 and 3 tie with 2.5 points each; both beat all others, so that their tie costs no position.
    assert order == Order((2, 3, 1, 0), 4, "repaired")


@pytest.mark.parametrize("status", ["refused", "unreadable"])
def test_when_all_comparisons_are_lost_pairwise_says_so(status):
    order, _ = drive(pairwise([1, 0, 2]), lambda ask: Reading(status))
    assert order == Order((0, 1, 2), 0, status)


def test_a_position_counts_while_it_beats_half_of_those_that_follow():
    def points(*values: float) -> int:
        return decided(range(len(values)), lambda one, other: values[one] > values[other])

    assert points(3, 2, 1, 0) == 4
    assert points(3, 3, 1, 0) == 4  # a tie at the top, well above the others
    assert points(3, 2, 0, 0) == 2  # a tie at the tail
    assert points(3, 1, 1, 1, 1, 0) == 1  # a tie of most
    assert points(1, 1, 1) == 0
    assert points(1, 1) == 0


# --- all


@pytest.mark.parametrize("shown", [[], [0]])
def test_fewer_than_two_candidates_ask_nothing_and_nothing_is_the_llms(shown):
    for strategy in (listwise(shown, 4, 2), setwise(shown, 3, 2), pairwise(shown)):
        assert drive(strategy, says_the_first) == (Order(tuple(shown), 0, "exact"), [])
    for kind in ("listwise", "setwise", "pairwise"):
        assert calls_needed(kind, len(shown), 4, 2, 3, 2) == 0


@given(lists=LISTS, data=st.data())
def test_any_readings_give_a_permutation_that_is_filled_up_in_candidate_order(lists, data):
    _, shown = lists

    def careless(ask: Ask) -> Reading:
        status = data.draw(st.sampled_from(["exact", "exact", "repaired", "repaired", "refused", "unreadable"]))
        if status in ("refused", "unreadable"):
            return Reading(status)
        whole = data.draw(st.permutations(range(len(ask.shown))))
        keep = len(whole) if status == "exact" else data.draw(st.integers(1, len(whole)))
        return Reading(status, tuple(whole[:keep] if ask.kind == "listwise" else whole[:1]))

    for strategy in (listwise(shown, 5, 3), setwise(shown, 4, 6)):
        order, _ = drive(strategy, careless)
        assert sorted(order.order) == sorted(shown)
        assert list(order.order[order.own :]) == sorted(order.order[order.own :])
        assert order.own == 0 or order.status in ("exact", "repaired")


# --- shuffles


def test_one_time_shows_the_candidate_order():
    assert shuffles(5, 1, "any") == [(0, 1, 2, 3, 4)]


@given(count=st.integers(2, 30), times=st.integers(1, 24), seed_text=st.text(max_size=5))
def test_shuffles_are_different_permutations_as_many_as_there_are(count, times, seed_text):
    orders = shuffles(count, times, seed_text)
    assert len(set(orders)) == len(orders) == min(times, math.factorial(count))
    assert all(sorted(order) == list(range(count)) for order in orders)
    assert orders == shuffles(count, times, seed_text)
    assert orders == shuffles(count, times + 5, seed_text)[:times]


@given(count=st.integers(2, 30), pairs=st.integers(1, 8), seed_text=st.text(max_size=5))
def test_an_even_number_of_shuffles_shows_each_candidate_at_the_same_mean_position(count, pairs, seed_text):
    orders = shuffles(count, 2 * pairs, seed_text)
    for candidate in range(count):
        assert 2 * sum(order.index(candidate) for order in orders) == len(orders) * (count - 1)


def test_shuffles_depend_on_the_seed_and_never_change_between_versions():
    drawn = (4, 1, 3, 5, 0, 2)
    assert shuffles(6, 4, "0 q1") == [(0, 1, 2, 3, 4, 5), (5, 4, 3, 2, 1, 0), drawn, drawn[::-1]]
    assert shuffles(20, 3, "0 q1")[2] != shuffles(20, 3, "0 q2")[2]


def test_a_list_of_one_or_none_has_one_order():
    assert shuffles(1, 3, "") == [(0,)]
    assert shuffles(0, 3, "") == [()]
