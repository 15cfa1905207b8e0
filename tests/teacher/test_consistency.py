"""Aggregation, agreement and position bias: hand-worked examples, brute force, scipy, and teachers of known bias."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from rankstill.teacher.consistency import agreement, borda, position_bias
from rankstill.teacher.strategies import Order, shuffles


def whole(*order: int) -> Order:
    return Order(order, len(order), "exact")


def partial(order: Sequence[int], own: int) -> Order:
    """The first `own` of an order, filled up in candidate order as strategies do."""
    status = "exact" if own == len(order) else "repaired" if own else "unreadable"
    return Order((*order[:own], *sorted(order[own:])), own, status)


def several(least: int, most: int, partly: bool = True) -> st.SearchStrategy[list[Order]]:
    """Orders of the same candidates, between `least` and `most` of them."""

    def orders(count: int) -> st.SearchStrategy[list[Order]]:
        own = st.integers(0, count) if partly else st.just(count)
        return st.lists(st.builds(partial, st.permutations(range(count)), own), min_size=1, max_size=6)

    return st.integers(least, most).flatmap(orders)


# --- Borda


def test_hand_worked_borda():
    # Points of 0, 1, 2: 2+0+2 = 4, 1+2+0 = 3, 0+1+1 = 2.
    assert borda([whole(0, 1, 2), whole(1, 2, 0), whole(0, 2, 1)]) == Order((0, 1, 2), 3, "exact")


def test_candidates_left_out_share_the_points_that_are_left():
    # Of four: 3 alone is placed, so 0, 1 and 2 get 1 each; then 0 1 2 3 gives 3, 2, 1, 0.
    # Sums: 0: 4, 1: 3, 2: 2, 3: 3. One and 3 tie, in candidate order.
    assert borda([partial([3, 0, 1, 2], 1), whole(0, 1, 2, 3)]) == Order((0, 1, 3, 2), 4, "repaired")


def test_orders_that_contradict_one_another_decide_nothing():
    found = borda([whole(2, 0, 3, 1), whole(1, 3, 0, 2)])
    assert (found.order, found.own) == ((0, 1, 2, 3), 0)


def test_a_tie_at_the_top_does_not_cost_the_list():
    orders = [whole(4, 3, 2, 1, 0), whole(3, 4, 2, 1, 0)]
    assert borda(orders) == Order((3, 4, 2, 1, 0), 5, "exact")


def test_a_lost_order_changes_the_status_alone():
    orders = [whole(2, 0, 1), Order((0, 1, 2), 0, "unreadable")]
    assert borda(orders) == Order((2, 0, 1), 3, "repaired")


def test_nothing_but_lost_orders_says_so():
    lost = [Order((0, 1, 2), 0, "refused"), Order((0, 1, 2), 0, "unreadable")]
    assert borda(lost) == Order((0, 1, 2), 0, "refused")


@pytest.mark.parametrize("orders", [[], [whole(0, 1), whole(0, 1, 2)], [whole(0, 1), whole(0, 2)]])
def test_orders_of_different_candidates_are_not_aggregated(orders):
    with pytest.raises(ValueError, match="same candidates"):
        borda(orders)


@given(order=st.integers(1, 14).flatmap(lambda n: st.permutations(range(n))), times=st.integers(1, 4), data=st.data())
def test_unanimous_orders_aggregate_to_themselves(order, times, data):
    said = partial(order, data.draw(st.integers(0, len(order))))
    assert borda([said] * times) == said


@given(orders=several(2, 12), data=st.data())
def test_aggregates_do_not_depend_on_which_shuffle_came_first(orders, data):
    other_way = data.draw(st.permutations(orders))
    assert borda(orders).order == borda(other_way).order


@given(orders=several(1, 12))
def test_an_aggregate_owns_no_more_than_was_placed_and_is_a_permutation(orders):
    placed = {each for order in orders for each in order.order[: order.own]}
    found = borda(orders)
    assert sorted(found.order) == sorted(orders[0].order)
    assert found.own <= len(placed)
    assert set(found.order[: found.own]) <= placed


def test_aggregated_shuffles_are_nearer_the_truth_than_each():
    draw = random.Random(3)
    truth = list(range(20))
    singles, aggregated = [], []
    for _ in range(20):
        orders = [whole(*sorted(truth, key=lambda each: each + draw.gauss(0, 6))) for _ in range(5)]
        singles += [kendalltau(order.order, truth).statistic for order in orders]
        aggregated.append(kendalltau(borda(orders).order, truth).statistic)
    assert sum(aggregated) / len(aggregated) > sum(singles) / len(singles) + 0.1


# --- agreement


def test_hand_worked_agreement():
    # 0 1 2 and 0 2 1 agree on two of three pairs: 1/3. Their reverse of 0 1 2: -1 and -1/3.
    assert agreement([whole(0, 1, 2), whole(0, 2, 1)]) == pytest.approx(1 / 3)
    assert agreement([whole(0, 1, 2), whole(0, 2, 1), whole(2, 1, 0)]) == pytest.approx((1 / 3 - 1 - 1 / 3) / 3)


@given(orders=several(2, 12, partly=False))
def test_agreement_is_scipys_mean_kendall_tau(orders):
    count = len(orders[0].order)
    ranks = [[order.order.index(each) for each in range(count)] for order in orders]
    taus = [kendalltau(one, other).statistic for one, other in itertools.combinations(ranks, 2)]
    assert agreement(orders) == (pytest.approx(sum(taus) / len(taus)) if taus else None)


def test_orders_are_compared_on_what_both_placed():
    # Both placed 1 and 2, and agree; what was filled up is not compared.
    assert agreement([partial([2, 1, 0, 3], 2), partial([3, 2, 1, 0], 3)]) == 1.0


def test_one_order_or_none_that_can_be_compared_has_no_agreement():
    assert agreement([]) is None
    assert agreement([whole(0, 1, 2)]) is None
    assert agreement([whole(0, 1, 2), partial([2, 1, 0], 1), Order((0, 1, 2), 0, "refused")]) is None
    assert agreement([whole(0, 1, 2), whole(0, 1, 2), Order((0, 1, 2), 0, "refused")]) == 1.0


# --- position bias


def ranked_in_shuffles(
    teach: Callable[[Sequence[int]], Order], lists: int, count: int, times: int
) -> list[list[tuple[Sequence[int], Order]]]:
    return [[(shown, teach(shown)) for shown in shuffles(count, times, str(number))] for number in range(lists)]


@given(times=st.integers(2, 6))
def test_a_teacher_that_sorts_by_merit_has_no_bias(times):
    found = position_bias(ranked_in_shuffles(lambda shown: whole(*sorted(shown)), 4, 10, times))
    assert found is not None
    assert found.by_position == (0.0,) * 10
    assert (found.slope, found.lists) == (0.0, 4)


@pytest.mark.parametrize(("teach", "slope"), [(lambda s: whole(*s), 1.0), (lambda s: whole(*s[::-1]), -1.0)])
def test_the_slope_is_one_for_the_order_shown_and_minus_one_for_its_reverse(teach, slope):
    found = position_bias(ranked_in_shuffles(teach, 3, 5, 4))
    assert found is not None
    assert found.slope == pytest.approx(slope)
    assert found.by_position == pytest.approx([slope * each for each in (-2, -1, 0, 1, 2)])


def test_hand_worked_bias():
    # Truth 0 1 2; the teacher puts what is shown first on top. Shown 0 1 2: said 0 1 2. Shown 2 1 0: said 2 0 1.
    found = position_bias([[((0, 1, 2), whole(0, 1, 2)), ((2, 1, 0), whole(2, 0, 1))]])
    # Mean ranks of 0, 1, 2: 0.5, 1.5, 1. Excess where shown first: (0 - 0.5 + 0 - 1) / 2; second: (1 - 1.5 + 2 - 1.5)
    # / 2; last: (2 - 1 + 1 - 0.5) / 2. Slope: 0 and 2 move by -1 and 1, 1 stays: (0.5 + 1 + 0.5 + 1) / 4.
    assert found is not None
    assert found.by_position == pytest.approx((-0.75, 0.0, 0.75))
    assert found.slope == pytest.approx(0.75)


def test_a_teacher_that_guesses_has_next_to_no_bias():
    draw = random.Random(5)
    found = position_bias(ranked_in_shuffles(lambda shown: whole(*draw.sample(shown, len(shown))), 100, 10, 4))
    assert found is not None
    assert abs(found.slope) < 0.05
    assert max(map(abs, found.by_position)) < 0.5


def test_merit_shown_first_is_not_taken_for_bias():
    # The first stage is good: merit and candidate order nearly agree. A blind noisy teacher stays near 0.
    draw = random.Random(5)

    def teach(shown: Sequence[int]) -> Order:
        return whole(*sorted(shown, key=lambda each: each + draw.gauss(0, 2)))

    found = position_bias(ranked_in_shuffles(teach, 50, 10, 3))
    assert found is not None
    assert abs(found.slope) < 0.05


def test_lists_without_two_different_readable_shuffles_are_no_evidence():
    lost = Order((0, 1, 2), 0, "unreadable")
    nothing = [
        [((0, 1, 2), whole(0, 1, 2))],
        [((0, 1, 2), whole(0, 1, 2)), ((0, 1, 2), whole(2, 1, 0))],
        [((0, 1, 2), whole(0, 1, 2)), ((2, 1, 0), lost)],
    ]
    assert position_bias(nothing) is None
    assert position_bias([]) is None
    found = position_bias([*nothing, [((0, 1), whole(0, 1)), ((1, 0), whole(1, 0))]])
    assert found is not None
    assert (found.lists, found.slope, found.by_position) == (1, 1.0, (-0.5, 0.5))
