from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankstill.extras.rag.scores import clean_answer


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("Paris", "Paris"),
        ("  Paris\n\nParis is the capital of France.", "Paris"),
        ("Answer: Paris", "Paris"),
        ("**Answer:** Paris", "Paris"),
        ("Final answer: 'Paris'", "Paris"),
        ("The answer is Paris.", "Paris."),
        ("The correct answer is: **Paris**", "Paris"),
        ("The answer to your question is Paris", "Paris"),
        ("A: Paris", "Paris"),
        ("Answer:\nParis", "Paris"),
        ("\n\n- Paris", "Paris"),
        ("```\nParis\n```", "Paris"),
        ("“Paris”", "Paris"),
        ("<think>France... London?</think>\nParis", "Paris"),
        ("it must be Paris</think> Paris", "Paris"),
        ("<think>France, so", ""),
        ("<answer>Paris</answer>", "Paris"),
        ("Paris<|im_end|>", "Paris"),
        ("The answer to this question is: [1] Paris", "Paris"),
        ("Paris [1][2].", "Paris"),
        ("", ""),
        (" \n ", ""),
        # What belongs to the answer stays.
        ("A Tale of Two Cities", "A Tale of Two Cities"),
        ("The Answer", "The Answer"),
        ("Answer Me! (magazine)", "Answer Me! (magazine)"),
        ("[sic] 1", "[sic] 1"),
        ("3:10 to Yuma", "3:10 to Yuma"),
        ("-40 degrees", "-40 degrees"),
        ("'Tis Pity She's a Whore", "'Tis Pity She's a Whore"),
        ("I do not know.", "I do not know."),
        ("巴黎", "巴黎"),
    ],
)
def test_the_short_answer_is_freed_from_what_surrounds_it(said: str, answer: str) -> None:
    assert clean_answer(said) == answer


@given(st.text())
def test_any_answer_is_cleaned_to_one_line_and_cleaning_again_changes_nothing(said: str) -> None:
    answer = clean_answer(said)
    assert len(answer.splitlines()) <= 1
    assert clean_answer(answer) == answer


@pytest.mark.parametrize(
    "piece", ["<think>", "answer: ", '"', "*", "# ", "</think>", "the answer ", "\n", "<|", "`", "[1] "]
)
def test_a_long_answer_is_cleaned_in_linear_time(piece: str) -> None:
    started = time.perf_counter()
    clean_answer(piece * (500_000 // len(piece)))
    assert time.perf_counter() - started < 2
