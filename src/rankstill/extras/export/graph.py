"""A retriever as one ONNX graph: tokens in, two unit vectors out, one as a query and one as a passage.

sentence-transformers' own export writes the Transformer alone and leaves the rest, which is most of a distilled
retriever, to torch. Here the whole of it is in the graph. What queries and passages share (the encoder, nearly all of
the work) stands in it once; what stands on top of it costs so little that both ways are always computed.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from rankstill.errors import ModelError
from rankstill.quiet import quiet

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

INPUTS = ("input_ids", "attention_mask")
OUTPUTS = ("query", "document")
_LARGE_TABLE = 4096
"""Rows. Smaller tables (positions, token types) are no part of a model's size worth saving."""


class TraceableEncoder(nn.Module):
    """A retriever as a function of tensors alone, which is what can be traced.

    Args:
        model: the model whose modules it takes; they are not copied.

    Raises:
        ModelError: queries and passages are read by different encoders, or its prompts are left out of the average.
    """

    def __init__(self, model: SentenceTransformer) -> None:
        super().__init__()
        ways = [_modules(model, way) for way in OUTPUTS]
        shared = 0
        while shared < min(map(len, ways)) and ways[0][shared] is ways[1][shared]:
            shared += 1
        if not shared:
            raise ModelError(
                "this model reads queries and passages with two encoders, and only a shared one can be exported. "
                "Export a retriever that `rankstill run` made."
            )
        if any(model.prompts.values()) and any(getattr(each, "include_prompt", True) is False for each in ways[0]):
            raise ModelError(
                "this model leaves its prompts out when it averages over tokens (include_prompt: false), which an "
                "exported graph cannot. Distil a model that keeps them in."
            )
        self.encoder = nn.ModuleList(ways[0][:shared])
        self.heads = nn.ModuleList(nn.ModuleList(way[shared:]) for way in ways)
        self.keep = model.truncate_dim

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        """Unit vectors as a query and as a passage. [texts, tokens] twice -> [texts, dimensions] twice"""
        features = {"input_ids": input_ids, "attention_mask": attention_mask}
        for module in self.encoder:
            features = module(features)
        return tuple(self._with_head(head, dict(features)) for head in self.heads)

    def _with_head(self, head: nn.Module, features: dict[str, Tensor]) -> Tensor:
        for module in head.children():
            features = module(features)
        return nn.functional.normalize(features["sentence_embedding"][:, : self.keep], dim=1)


def _modules(model: SentenceTransformer, way: str) -> list[nn.Module]:
    """The modules that a text passes through, a Router opened."""
    from sentence_transformers.base.modules import Router

    passed: list[nn.Module] = []
    for module in model:
        passed += list(module.sub_modules[way]) if isinstance(module, Router) else [module]
    return passed


class Int8Table(nn.Module):
    """An embedding table in 8 bits, with a scale for each row: a quarter of the size, and each vector within 0.4 %."""

    weight: Tensor
    scale: Tensor

    def __init__(self, table: nn.Embedding) -> None:
        super().__init__()
        rows = table.weight.detach().float()
        scale = rows.abs().amax(dim=1, keepdim=True).clamp_min(1e-12) / 127
        self.register_buffer("weight", (rows / scale).round().to(torch.int8))
        self.register_buffer("scale", scale)

    def forward(self, tokens: Tensor) -> Tensor:
        """Rows of the table. [...] -> [..., dimensions]"""
        return self.weight[tokens].float() * self.scale[tokens]


def with_int8_tables(module: nn.Module) -> nn.Module:
    """A copy of the module with every large embedding table in 8 bits."""
    copied = copy.deepcopy(module)
    for parent in list(copied.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.Embedding) and child.num_embeddings >= _LARGE_TABLE:
                setattr(parent, name, Int8Table(child))
    return copied


def write_onnx(both: nn.Module, path: Path) -> None:
    """Write the graph, for any number of texts and tokens."""
    sizes = {0: torch.export.Dim("texts"), 1: torch.export.Dim("tokens")}
    # Sizes other than 0 and 1, which would be taken for constants; two tensors, for one given twice becomes one input;
    # and padding, without which the mask would be taken for needless.
    tokens, mask = torch.ones(2, 8, dtype=torch.long), torch.ones(2, 8, dtype=torch.long)
    mask[1, 6:] = 0
    with quiet():
        torch.onnx.export(
            both.cpu().eval(),
            (tokens, mask),
            str(path),
            dynamo=True,
            external_data=False,
            verbose=False,
            input_names=list(INPUTS),
            output_names=list(OUTPUTS),
            dynamic_shapes=(sizes, sizes),
        )
