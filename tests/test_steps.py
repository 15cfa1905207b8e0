"""What a run says of how far it has come."""

from __future__ import annotations

from rankstill.steps import Plan

EXPECTED = {"vectors": 100.0, "ranker": 50.0, "labels": 150.0}


def test_a_run_says_once_how_long_it_will_take() -> None:
    plan = Plan(tuple(EXPECTED), lambda: EXPECTED)
    assert plan.begin("vectors") == " (the run takes about 5 min 0 s from here)"
    assert plan.begin("ranker") == ""


def test_what_is_left_follows_how_true_the_expectation_has_been() -> None:
    plan = Plan(tuple(EXPECTED), lambda: EXPECTED)
    plan.begin("vectors")
    # Thirty seconds count as well expected: (30 + 230) / (30 + 100) = 2, and 200 s were expected of what is left.
    assert plan.end("vectors", 230.0) == ", 0 s in all, about 6 min 40 s left"
    assert plan.end("ranker", 130.0) == ", 0 s in all, about 5 min 25 s left"  # 390 / 180, of 150 s
    assert plan.end("labels", 1.0) == ", 0 s in all"


def test_a_step_from_the_cache_does_not_make_the_others_look_fast() -> None:
    plan = Plan(tuple(EXPECTED), lambda: EXPECTED)
    plan.begin("vectors")
    assert plan.end("vectors", 2.0) == ", 0 s in all, about 3 min 20 s left"


def test_steps_that_are_held_already_are_not_counted() -> None:
    plan = Plan(tuple(EXPECTED), lambda: EXPECTED)
    assert plan.begin("labels") == " (the run takes about 2 min 30 s from here)"


def test_a_step_that_was_not_planned_says_nothing() -> None:
    assert Plan().begin("labels") == Plan().end("labels", 3.0) == ""
