"""How much a forward pass takes at once."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from rankstill.compute import memory
from rankstill.compute.memory import DeviceMemory, peak_memory

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

GB = 10**9
BASE = DeviceMemory("cuda", free=16 * GB, tokens=512, width=768, layers=12, weights=110_000_000)
"""A model of BERT's size on a GPU of 16 GB."""


def test_a_forward_pass_on_a_processor_takes_less_of_long_texts() -> None:
    processor = DeviceMemory("cpu")
    assert processor.inference_batch_size(1_500, 32) == 5
    assert processor.inference_batch_size(10**9, 32) == 5  # the model cuts it
    assert processor.inference_batch_size(0, 32) == processor.inference_batch_size(20, 32) == 32
    assert processor.inference_batch_size(1_500, 0) == 1


def test_a_forward_pass_on_a_gpu_takes_what_its_free_memory_holds() -> None:
    # 8 GB, and a text of 512 tokens holds 512 x 768 x 64 bytes = 25 MB.
    assert BASE.inference_batch_size(10**9, 32) == 317
    assert BASE.inference_batch_size(256, 32) == 32 * 32  # it would hold more, but is no faster for it
    assert replace(BASE, free=4 * GB).inference_batch_size(10**9, 32) == 79
    assert replace(BASE, free=1_000).inference_batch_size(10**9, 32) == 1


def test_a_gpu_that_does_not_say_what_is_free_gets_as_many_texts_as_the_caller_names() -> None:
    assert DeviceMemory("mps").inference_batch_size(1_500, 1_000) == 128
    assert DeviceMemory("mps").inference_batch_size(1_500, 32) == 32
    assert DeviceMemory("mps").micro_batch_size(20) == 20


def test_a_training_step_is_one_part_on_a_gpu_that_holds_it() -> None:
    assert DeviceMemory("cpu").micro_batch_size(32) == 32
    # Half of 80 GB less 12 bytes for each of the 110 million weights; a text of 192 tokens holds 113 MB in 12 layers.
    assert replace(BASE, free=80 * GB, tokens=192).micro_batch_size(20) == 347
    assert replace(BASE, free=4 * GB, tokens=192).micro_batch_size(20) == 11
    assert replace(BASE, free=1 * GB).micro_batch_size(20) == 1


def test_a_processor_keeps_the_activations_of_a_step_that_are_not_many() -> None:
    minilm = DeviceMemory("cpu", width=384, layers=6)
    # A token holds 384 x 6 x 64 bytes = 147 kB.
    assert minilm.fits_step(50 * 160)
    assert not minilm.fits_step(100 * 160)
    assert not DeviceMemory("cpu", width=768, layers=12).fits_step(50 * 160)
    assert not replace(BASE, free=80 * GB).fits_step(1)  # there a part is all that fits


def test_a_model_is_measured_and_its_gpu(tiny_model: SentenceTransformer, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    config = tiny_model[0].auto_model.config
    weights = sum(weight.numel() for weight in tiny_model.parameters())
    size = (tiny_model.max_seq_length, config.hidden_size, config.num_hidden_layers, weights)
    assert DeviceMemory.of(tiny_model) == DeviceMemory("cpu", 0, *size)
    monkeypatch.setattr(type(tiny_model), "device", torch.device("cuda:1"))
    monkeypatch.setattr(memory, "_free", {torch.device("cuda:1"): 5 * GB}.get)
    assert DeviceMemory.of(tiny_model) == DeviceMemory("cuda", 5 * GB, *size)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="measures as Linux does")
def test_products_of_many_shapes_do_not_fill_the_memory() -> None:
    program = """
import rankstill.compute, torch
from pathlib import Path
def held(): return int(Path("/proc/self/status").read_text().split("RssAnon:")[1].split()[0]) / 1024
weights, before = torch.ones(384, 384, dtype=torch.bfloat16), 0.0
for tokens in range(1, 400):
    torch.nn.functional.linear(torch.ones(tokens, 384, dtype=torch.bfloat16), weights)
    before = before or held()
print(held() - before)
"""
    grown = {}
    for capacity in ("1024", None):
        given = {name: capacity for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY") if capacity}
        told = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={**os.environ, **given}
        )
        grown[capacity] = float(told.stdout)
    if grown["1024"] < 50:
        pytest.skip("this machine's products in bfloat16 keep nothing")
    assert grown[None] < grown["1024"] / 2


def test_the_peak_of_a_process_is_not_that_of_the_one_that_started_it() -> None:
    held = bytearray(600 * 2**20)
    held[:: 2**12] = bytes([1]) * len(held[:: 2**12])
    program = "from rankstill.compute.memory import peak_memory; print(peak_memory())"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert 5 < float(told.stdout) < 300
    assert peak_memory() > 600
