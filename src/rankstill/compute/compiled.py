"""Many texts at once on a CPU: the encoder compiled by OpenVINO, where that is installed (extra `fast`).

Compiling takes a few seconds, and a forward pass then two thirds of torch's time. What is compiled is trusted once it
gives what torch gives, on a batch of the caller's own texts.
"""

from __future__ import annotations

import importlib.util
import platform
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from rankstill.progress import say
from rankstill.quiet import quiet, without_telemetry

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder, SentenceTransformer
    from torch import Tensor, nn

Forward = Callable[..., Any]
"""The forward pass of a transformer: tensors by name to tensors by name."""

_KNOWN: WeakKeyDictionary[nn.Module, tuple[object, Forward | None]] = WeakKeyDictionary()
"""What was compiled, of which weights; None: it could not be."""
_WORTH_COMPILING = 2_000_000
"""Characters, of all texts: twenty seconds of two cores."""
_MOST_OFF = 0.05
"""The largest relative error allowed against torch's output; bfloat16 alone is off by 0.01 to 0.02."""


@contextmanager
def compiled(model: SentenceTransformer | CrossEncoder, characters: int) -> Iterator[None]:
    """Let OpenVINO run the model's transformers meanwhile, if that pays and can be had; else nothing changes.

    Args:
        characters: of all texts that will be read.
    """
    from sentence_transformers.base.modules import Transformer

    with ExitStack() as stack:
        if characters >= _WORTH_COMPILING and _can_compile(str(model.device)):
            for module in model.modules():
                if isinstance(module, Transformer):
                    stack.enter_context(_in_place_of(module.model))
        yield


def _can_compile(device: str) -> bool:
    x86 = platform.machine() in ("x86_64", "AMD64")
    return device == "cpu" and x86 and importlib.util.find_spec("openvino") is not None


@contextmanager
def _in_place_of(network: nn.Module) -> Iterator[None]:
    """The network is the compiled one from its second batch on, if the two agree on the first."""
    by_torch = network.forward
    weights = tuple(float(weight.detach().sum()) for weight in network.parameters())  # training changes each

    def forward(**features: Any) -> Any:
        known = _KNOWN.get(network)
        if known and known[0] == weights:
            return (known[1] or by_torch)(**features)
        expected = by_torch(**features)
        _KNOWN[network] = weights, _compile(network, by_torch, features, expected)
        return expected

    network.forward = forward
    try:
        yield
    finally:
        del network.forward  # and its class's own is seen again


def _compile(network: nn.Module, by_torch: Forward, features: dict[str, Any], expected: Any) -> Forward | None:
    """The network compiled, or None, with a line that says why it is not."""
    import openvino
    import torch
    from torch import nn

    inputs = [name for name, value in features.items() if isinstance(value, torch.Tensor)]
    output = next(iter(expected.keys()))

    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, *given: Tensor) -> Tensor:
            found: Tensor = by_torch(**dict(zip(inputs, given, strict=True)), return_dict=True)[output]
            return found

    def fast(**features: Any) -> dict[str, Tensor]:
        return {output: torch.from_numpy(run([features[name].numpy() for name in inputs])[0].copy())}

    try:
        example = {name: features[name][:1].repeat(2, 1) for name in inputs}
        example["attention_mask"][1, -1] = 0  # one that hid nothing would be taken for needless
        with quiet(), without_telemetry(), torch.autocast("cpu", enabled=False):
            graph = openvino.convert_model(Plain(), example_input=tuple(example[name] for name in inputs))
        run = openvino.Core().compile_model(graph, "CPU", {"INFERENCE_NUM_THREADS": torch.get_num_threads()})
        off = _off(fast(**features)[output], expected[output], features["attention_mask"])
    except Exception as error:  # a converter raises whatever it likes, and torch can do without it
        reason = str(error).strip().partition("\n")[0]
        say(f"note: OpenVINO cannot compile this model, so torch runs it ({type(error).__name__}: {reason})")
        return None
    if off > _MOST_OFF:
        say(f"note: OpenVINO and torch differ by {off:.0%} on this model, so torch runs it")
        return None
    return fast


def _off(given: Tensor, expected: Tensor, mask: Tensor) -> float:
    """How far from what was expected, relative to that; of what is text, where each token has its own."""
    if expected.shape[:2] == mask.shape:
        given, expected = given[mask.bool()], expected[mask.bool()]
    return float((given.float() - expected.float()).norm() / expected.float().norm())
