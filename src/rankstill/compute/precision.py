"""The numeric precision that suits the machine."""

from __future__ import annotations

import platform
from contextlib import AbstractContextManager, nullcontext
from typing import Any


def fast_precision(device: str) -> bool:
    """Whether bfloat16 arithmetic is native to this device: most recent GPUs, and CPUs with AVX512-BF16 or AMX."""
    import torch

    if device.startswith("cuda"):
        # Older GPUs have bfloat16 by emulation, which is slower than float32.
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.startswith("cpu") and platform.machine() in ("x86_64", "AMD64"):
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False


def autocast(device: str) -> AbstractContextManager[Any]:
    """bfloat16 matrix products where the device has them in hardware, else full precision."""
    import torch

    if fast_precision(device):
        return torch.autocast(device.split(":")[0], dtype=torch.bfloat16)
    return nullcontext()
