from __future__ import annotations

import random

import pytest

from rankstill.config import make_config
from rankstill.judge.agreement import cohen_kappa, human_agreement, self_consistency
from rankstill.judge.grading import GradedAnswer
from rankstill.teacher.asking import CandidateList

CONFIG = make_config({"dataset": {"source": "toy"}}, {"evaluation.resamples": 200})


def test_kappa_of_an_example_worked_by_hand() -> None:
    """50 passages: both say relevant of 20, neither of 15, the first alone of 5, the second alone of 10.

    Observed agreement (20 + 15) / 50 = 0.7. The first says relevant of 25, the second of 30, so that by chance they
    agree on 25 * 30 / 50^2 + 25 * 20 / 50^2 = 0.3 + 0.2 = 0.5. Kappa is (0.7 - 0.5) / (1 - 0.5) = 0.4.
    """
    pairs = [(1, 1)] * 20 + [(0, 0)] * 15 + [(1, 0)] * 5 + [(0, 1)] * 10
    one, other = [each for each, _ in pairs], [each for _, each in pairs]
    assert cohen_kappa(one, other) == pytest.approx(0.4)


def test_quadratic_weights_count_a_disagreement_by_the_square_of_its_size() -> None:
    """Grades 0, 0, 3, 3 against 0, 1, 3, 3: the squared differences sum to 1.

    Of the 16 pairs that chance makes of the two, (0 or 3) with (0, 1, 3, 3), the squares sum to
    2 * (0 + 1 + 9 + 9) + 2 * (9 + 4 + 0 + 0) = 64, a mean of 4. Kappa is 1 - (1 / 4) / 4 = 0.9375.
    """
    assert cohen_kappa([0, 0, 3, 3], [0, 1, 3, 3], weighted=True) == pytest.approx(0.9375)


def test_kappa_of_one_grade_alone_is_not_known() -> None:
    assert cohen_kappa([3, 3], [3, 3]) is None


def twice(first: list[list[int]], second: list[list[int]]) -> list[GradedAnswer]:
    """Queries whose passages got these grades, as shown and the other way round; by passage."""
    graded = []
    for number, (one, other) in enumerate(zip(first, second, strict=True)):
        ids = tuple(f"p{each}" for each in range(len(one)))
        there = {each: place for place, each in enumerate(ids)}
        back = {each: place for place, each in enumerate(reversed(ids))}
        grades = (dict(zip(ids, one, strict=True)), dict(zip(ids, other, strict=True)))
        listed = CandidateList(f"q{number}", "", ids, ids)
        graded.append(GradedAnswer(listed, (there, back), grades, 0))
    return graded


def test_changed_grades_are_counted_by_who_stood_earlier() -> None:
    # Shown first p0 p1 p2 p3, then p3 p2 p1 p0. p0 loses its grade where it stands last, p3 where it stands last.
    found = self_consistency(twice([[3, 0, 0, 1]], [[0, 0, 0, 3]]))
    assert (found.passages, found.changed, found.earlier, found.far) == (4, 2, 2, 2)
    assert found.told_apart == 1
    assert self_consistency(twice([[0, 0, 0, 3]], [[3, 0, 0, 0]])).earlier == 0


@pytest.mark.parametrize("share", [0.0, 0.1, 0.2, 0.3])
@pytest.mark.parametrize("relevant", [0.1, 0.5])
def test_the_share_of_grades_drawn_by_chance_is_found(share: float, relevant: float) -> None:
    draw = random.Random(4)
    true = [[3 if draw.random() < relevant else draw.choice([0, 0, 1]) for _ in range(20)] for _ in range(200)]

    def noisy() -> list[list[int]]:
        return [[draw.randrange(4) if draw.random() < share else grade for grade in each] for each in true]

    assert self_consistency(twice(noisy(), noisy())).by_chance == pytest.approx(share, abs=0.04)


def test_wavering_between_neighbours_is_not_taken_for_chance() -> None:
    draw = random.Random(4)
    true = [[draw.randrange(4) for _ in range(20)] for _ in range(50)]
    wavering = [[max(0, grade - 1) if draw.random() < 0.3 else grade for grade in each] for each in true]
    found = self_consistency(twice(true, wavering))
    assert found.changed > 200
    assert found.by_chance == 0


def measured(judged: dict[str, dict[str, int]], people: dict[str, dict[str, int]]) -> tuple[float | None, ...]:
    """Kappa and tau, with a system that ranks a, b, c and one that ranks c, b, a."""
    forth = {query: {"a": 3.0, "b": 2.0, "c": 1.0} for query in people}
    back = {query: {"c": 3.0, "b": 2.0, "a": 1.0} for query in people}
    found = human_agreement(judged, people, {"retriever before": forth, "distilled retriever": back}, CONFIG)
    assert found is not None
    return found.kappa, found.tau


def test_a_judge_that_says_what_people_say_agrees_with_them_in_full() -> None:
    people = {f"q{number}": {"a": 1, "b": 0, "c": 0} for number in range(5)}
    assert measured({query: {"a": 3, "b": 1, "c": 0} for query in people}, people) == (1.0, 1.0)


def test_a_judge_that_turns_relevance_round_turns_the_order_of_the_systems_round() -> None:
    people = {f"q{number}": {"a": 1, "b": 0, "c": 0} for number in range(5)}
    kappa, tau = measured({query: {"a": 0, "b": 0, "c": 3} for query in people}, people)
    assert kappa is not None
    assert kappa < 0
    assert tau == -1


def test_where_people_named_relevant_passages_alone_the_others_count_as_not_relevant() -> None:
    runs = {name: {"q": {"a": 1.0}} for name in ("retriever before", "distilled retriever")}
    judged = {"q": {"a": 3, "b": 0, "c": 2}}
    alone = human_agreement(judged, {"q": {"a": 1}}, runs, CONFIG)
    both = human_agreement(judged, {"q": {"a": 1, "b": 0}}, runs, CONFIG)
    assert alone is not None
    assert both is not None
    assert (alone.assumed, alone.passages) == (True, 3)
    assert (both.assumed, both.passages) == (False, 2)
    assert human_agreement(judged, {"other": {"a": 1}}, runs, CONFIG) is None
