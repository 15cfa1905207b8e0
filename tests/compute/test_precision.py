"""The numeric precision that suits the machine."""

from __future__ import annotations

import pytest

from rankstill.compute import precision


@pytest.mark.parametrize("native", [True, False])
def test_bfloat16_is_used_where_it_is_native_and_nowhere_else(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(precision, "fast_precision", lambda device: native)
    with precision.autocast("cpu"):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if native else torch.float32)


def test_a_gpu_that_only_emulates_bfloat16_gets_full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert precision.fast_precision("cuda") is False


def test_an_unknown_kind_of_device_gets_full_precision() -> None:
    assert precision.fast_precision("mps") is False
