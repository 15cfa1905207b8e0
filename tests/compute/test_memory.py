"""How much a forward pass takes at once."""

from __future__ import annotations

from rankstill.compute.memory import texts_a_pass


def test_a_forward_pass_takes_less_of_long_texts_and_less_on_a_processor_than_on_a_gpu() -> None:
    assert texts_a_pass(1_500, 32, "cpu") == 5
    assert texts_a_pass(10**9, 32, "cpu") == 5  # the model cuts it
    assert texts_a_pass(0, 32, "cpu") == texts_a_pass(20, 32, "cpu") == 32
    assert texts_a_pass(1_500, 1_000, "cuda:1") == 128
    assert texts_a_pass(1_500, 0, "cpu") == 1
