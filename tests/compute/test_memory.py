"""How much a forward pass takes at once."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from rankstill.compute import memory
from rankstill.compute.memory import Room, peak_memory

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

GB = 10**9
BASE = Room("cuda", free=16 * GB, tokens=512, width=768, layers=12, weights=110_000_000)
"""A model of BERT's size on a GPU of 16 GB."""


def test_a_forward_pass_on_a_processor_takes_less_of_long_texts() -> None:
    processor = Room("cpu")
    assert processor.texts_a_pass(1_500, 32) == 5
    assert processor.texts_a_pass(10**9, 32) == 5  # the model cuts it
    assert processor.texts_a_pass(0, 32) == processor.texts_a_pass(20, 32) == 32
    assert processor.texts_a_pass(1_500, 0) == 1


def test_a_forward_pass_on_a_gpu_takes_what_its_free_memory_holds() -> None:
    # 8 GB, and a text of 512 tokens holds 512 x 768 x 64 bytes = 25 MB.
    assert BASE.texts_a_pass(10**9, 32) == 317
    assert BASE.texts_a_pass(256, 32) == 32 * 32  # it would hold more, but is no faster for it
    assert replace(BASE, free=4 * GB).texts_a_pass(10**9, 32) == 79
    assert replace(BASE, free=1_000).texts_a_pass(10**9, 32) == 1


def test_a_gpu_that_does_not_say_what_is_free_gets_as_many_texts_as_the_caller_names() -> None:
    assert Room("mps").texts_a_pass(1_500, 1_000) == 128
    assert Room("mps").texts_a_pass(1_500, 32) == 32
    assert Room("mps").texts_a_part(20) == 20


def test_a_training_step_is_one_part_on_a_gpu_that_holds_it() -> None:
    assert Room("cpu").texts_a_part(32) == 32
    # Half of 80 GB less 12 bytes for each of the 110 million weights; a text of 192 tokens holds 113 MB in 12 layers.
    assert replace(BASE, free=80 * GB, tokens=192).texts_a_part(20) == 347
    assert replace(BASE, free=4 * GB, tokens=192).texts_a_part(20) == 11
    assert replace(BASE, free=1 * GB).texts_a_part(20) == 1


def test_a_processor_keeps_the_activations_of_a_step_that_are_not_many() -> None:
    minilm = Room("cpu", width=384, layers=6)
    # A token holds 384 x 6 x 64 bytes = 147 kB.
    assert minilm.keeps(50 * 160)
    assert not minilm.keeps(100 * 160)
    assert not Room("cpu", width=768, layers=12).keeps(50 * 160)
    assert not replace(BASE, free=80 * GB).keeps(1)  # there a part is all that fits


def test_a_model_is_measured_and_its_gpu(tiny_model: SentenceTransformer, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    config = tiny_model[0].auto_model.config
    weights = sum(weight.numel() for weight in tiny_model.parameters())
    size = (tiny_model.max_seq_length, config.hidden_size, config.num_hidden_layers, weights)
    assert Room.of(tiny_model) == Room("cpu", 0, *size)
    monkeypatch.setattr(type(tiny_model), "device", torch.device("cuda:1"))
    monkeypatch.setattr(memory, "_free", {torch.device("cuda:1"): 5 * GB}.get)
    assert Room.of(tiny_model) == Room("cuda", 5 * GB, *size)


def test_the_peak_of_a_process_is_not_that_of_the_one_that_started_it() -> None:
    held = bytearray(600 * 2**20)
    held[:: 2**12] = bytes([1]) * len(held[:: 2**12])
    program = "from rankstill.compute.memory import peak_memory; print(peak_memory())"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert 5 < float(told.stdout) < 300
    assert peak_memory() > 600
