"""A passage adapter: a small network that moves each passage's vector to where its queries look for it."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PassageAdapter(nn.Module):
    """normalize(x + V relu(U x + b)): a residual network with one hidden layer, which starts as the identity.

    Args:
        dimensions: of the vectors.
        width: hidden units.
    """

    def __init__(self, dimensions: int, width: int) -> None:
        super().__init__()
        self.up = nn.Linear(dimensions, width)
        self.down = nn.Linear(width, dimensions, bias=False)
        nn.init.normal_(self.up.weight)
        nn.init.zeros_(self.up.bias)
        nn.init.zeros_(self.down.weight)

    def forward(self, vectors: Tensor) -> Tensor:
        """Unit vectors to unit vectors. [passages, dimensions]"""
        shift = self.down(torch.relu(self.up(vectors)))
        return nn.functional.normalize(vectors + shift.float(), dim=1)

    def as_modules(self) -> list[nn.Module]:
        """The same function from sentence-transformers' own modules, which load without this package.

        Their `Dense` has no residual around two layers, so the identity rides through the ReLU as relu(x) - relu(-x).
        """
        from sentence_transformers.base.modules import Dense, Normalize

        width, dimensions = self.up.weight.shape
        same = torch.eye(dimensions)
        up_weight = torch.cat([self.up.weight.detach().cpu(), same, -same])
        up_bias = torch.cat([self.up.bias.detach().cpu(), torch.zeros(2 * dimensions)])
        hidden = width + 2 * dimensions
        up = Dense(dimensions, hidden, activation_function=nn.ReLU(), init_weight=up_weight, init_bias=up_bias)
        down_weight = torch.cat([self.down.weight.detach().cpu(), same, -same], dim=1)
        down = Dense(hidden, dimensions, bias=False, activation_function=nn.Identity(), init_weight=down_weight)
        return [up, down, Normalize()]
