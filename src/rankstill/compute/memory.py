"""How much a forward pass takes at once, by the device and its free memory, and what is given back after it."""

from __future__ import annotations

import ctypes
import gc
import resource
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from sentence_transformers import CrossEncoder, SentenceTransformer


def peak_memory() -> float:
    """The highest resident memory that this process has had, in MiB.

    On Linux not `ru_maxrss`: that of a process begins at what the process that started it had.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        lines = status.read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def release_memory() -> None:
    """Give freed memory back to the system: glibc keeps it, in pieces that tensors of other sizes do not fit."""
    with suppress(OSError, AttributeError):  # another C library, which has no such call
        ctypes.CDLL(None).malloc_trim(0)


def release_models() -> None:
    """Free models that nobody uses any more, and give their memory back. A model and its card refer to each other, so
    that only the garbage collector finds them, and it seldom looks.
    """
    gc.collect()
    release_memory()


# What a forward pass works on should stay in a processor's own cache: a few passages of 256 tokens are encoded
# at 1.7 times the speed of thirty-two.
_CHARACTERS_A_PASS = {"cpu": 8_000}
_CHARACTERS_A_PASS_ELSEWHERE = 192_000
_LONGEST_READ = 1_500
"""Characters: about what 256 tokens hold; what is longer is cut by most models."""
_TIMES_AS_MANY = 32
"""Texts on a GPU for each on a processor; with more it is no faster, and tokenising holds more at once."""
_BYTES_A_NUMBER = 64
"""Activations of a layer for each number of a token's vector: 34 in half precision (Korthikanti et al. 2022, section
4.1, without the attention's weights, which fused attention does not keep), the rest for autocast's copies."""
_BYTES_A_WEIGHT = 12
"""What training holds for each weight, besides the weight: its gradient and AdamW's two moments, in single
precision."""
_KEPT_ON_A_PROCESSOR = 1.25 * 2**30
"""Bytes of a training step's activations."""
_SHARE = 0.5
"""The part of the free memory that is planned for: the other half is for fragments, texts of more tokens than guessed,
and others on the GPU."""
_CHARACTERS_A_TOKEN = 2
"""Few, to be safe: English has four."""


@dataclass(frozen=True)
class DeviceMemory:
    """How much memory a device has for a model's activations. The figures of a GPU are computed, not measured.

    Args:
        free: Free bytes of a GPU; 0 on a processor, and where torch cannot tell.
        tokens: How many tokens of a text the model reads at most.
        width: The hidden size: numbers in a token's vector between layers.
    """

    device: str
    free: int = 0
    tokens: int = 512
    width: int = 1024
    layers: int = 24
    weights: int = 0

    @classmethod
    def of(cls, model: SentenceTransformer | CrossEncoder) -> DeviceMemory:
        """The memory of the device that a model is on. A model that does not state its size counts as a large one."""
        device = str(model.device)
        kind = device.split(":")[0]
        config = next((module.config for module in model.modules() if hasattr(module, "config")), None)
        return cls(
            kind,
            _free(model.device) if kind == "cuda" else 0,
            tokens=model.max_seq_length or cls.tokens,
            width=getattr(config, "hidden_size", cls.width),
            layers=getattr(config, "num_hidden_layers", cls.layers),
            weights=sum(weight.numel() for weight in model.parameters()),
        )

    def inference_batch_size(self, longest: int, most: int) -> int:
        """How many texts a forward pass without gradients should take.

        Args:
            longest: Characters of the longest text.
            most: The most texts that a processor takes, however short they are.
        """
        if not self.free:
            characters = _CHARACTERS_A_PASS.get(self.device, _CHARACTERS_A_PASS_ELSEWHERE)
            return max(1, min(most, characters // max(1, min(longest, _LONGEST_READ))))
        tokens = max(1, min(self.tokens, longest // _CHARACTERS_A_TOKEN))
        fit = int(_SHARE * self.free) // (tokens * self.width * _BYTES_A_NUMBER)
        return max(1, min(most * _TIMES_AS_MANY, fit))

    def micro_batch_size(self, few: int) -> int:
        """How many texts of a training step go through the model at once (see `in_micro_batches`): on a GPU all that
        fit.
        """
        if not self.free:
            return few
        fit = int(_SHARE * (self.free - _BYTES_A_WEIGHT * self.weights))
        return max(1, fit // (self.tokens * self.width * self.layers * _BYTES_A_NUMBER))

    def fits_step(self, tokens: int) -> bool:
        """Whether a processor's memory holds the activations of a whole training step. On a GPU a micro-batch already
        fills it.

        Args:
            tokens: Tokens of all texts of the step, with padding.
        """
        return self.device == "cpu" and tokens * self.width * self.layers * _BYTES_A_NUMBER <= _KEPT_ON_A_PROCESSOR


def _free(gpu: torch.device) -> int:
    """Free bytes of a GPU: those of the driver, and those that torch has reserved but does not use."""
    import torch

    kept = torch.cuda.memory_reserved(gpu) - torch.cuda.memory_allocated(gpu)
    return int(torch.cuda.mem_get_info(gpu)[0]) + kept
