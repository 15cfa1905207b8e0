"""Listwise losses over prior + cross-encoder scores: our ListMLE, and the library's others unchanged."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from rankstill.compute.memory import DeviceMemory
from rankstill.compute.micro_batches import in_micro_batches
from rankstill.distributed.processes import rank_weight
from rankstill.losses.listmle import plackett_luce_nll, weighted_mean

_PADDING = -1e30
_FEW = 20  # pairs of a forward pass, where memory is not a GPU's


class _PrecomputedScores:
    """Stands in for a cross-encoder whose scores are computed already, so that the library's losses take these."""

    num_labels = 1

    def __init__(self, scores: Tensor) -> None:
        self._scores = scores
        self.device = scores.device

    def preprocess(self, pairs: Any, **_: Any) -> dict[str, Tensor]:
        return {}

    def __call__(self, tokens: Any, **_: Any) -> dict[str, Tensor]:
        return {"scores": self._scores[:, None]}


def _library_loss(name: str, scored: _PrecomputedScores) -> nn.Module:
    from sentence_transformers.cross_encoder import losses

    # One call for the whole batch: the scores of all its pairs, in their order.
    whole_batch: dict[str, Any] = {"mini_batch_size": -1}
    makers: dict[str, Any] = {
        "plistmle": lambda: losses.PListMLELoss(
            scored, lambda_weight=losses.PListMLELambdaWeight(), respect_input_order=False, **whole_batch
        ),
        "listnet": lambda: losses.ListNetLoss(scored, **whole_batch),
        "ranknet": lambda: losses.RankNetLoss(scored, **whole_batch),
        "lambda": lambda: losses.LambdaLoss(scored, **whole_batch),
    }
    loss: nn.Module = makers[name]()
    return loss


class ListwiseLoss(nn.Module):
    """A listwise loss of the ranker's scores: prior + cross-encoder.

    "listmle" is `plackett_luce_nll`. The library's: "plistmle", ListMLE whose upper positions weigh more (Lan et al.
    2014, p-ListMLE); "listnet", cross-entropy of top-one probabilities (Cao et al. 2007); "ranknet", logistic loss of
    pairs (Burges et al. 2005); "lambda", LambdaLoss with the weights of NDCG-Loss2++ (Wang et al. 2018).

    Args:
        name: "listmle", or one of the library's: "plistmle", "listnet", "ranknet", "lambda".
        micro_batch: pairs a forward pass; pairs are sorted by length, so that little is padding.
            None: 20 on a processor, on a GPU what its memory holds (`DeviceMemory`).

    Inputs:
        inputs: queries, their passages in the teacher's order, and the prior's scores of these. Each [lists]
        labels: how many leading passages of each list the teacher itself placed, and the list's weight, which
            "listmle" alone heeds. [lists, 2]
    """

    def __init__(self, model: nn.Module, name: str, micro_batch: int | None = None) -> None:
        super().__init__()
        self.model: Any = model
        self.name = name
        self.memory = DeviceMemory.of(model)
        self.micro_batch = micro_batch or self.memory.micro_batch_size(_FEW)

    def forward(self, inputs: list[Any], labels: Tensor, **_: Any) -> Tensor:
        """The mean loss of the lists."""
        queries, passages, prior = inputs
        pairs = [(query, passage) for query, listed in zip(queries, passages, strict=True) for passage in listed]
        scores = self._cross_encode(pairs)
        scores = scores + torch.cat(list(prior)).to(scores.device)
        sizes = [len(listed) for listed in passages]
        known, weights = labels.to(scores.device).unbind(dim=1)
        if self.name == "listmle":
            lists = list(torch.split(scores, sizes))
            padded = nn.utils.rnn.pad_sequence(lists, batch_first=True, padding_value=_PADDING)
            return weighted_mean(plackett_luce_nll(padded, known), weights) * rank_weight(weights.sum())
        # The library's losses know grades, not positions: the tail, which has no order, shares grade 0.
        grades = [
            torch.clamp(leading - torch.arange(size, device=leading.device), min=0)
            for leading, size in zip(known, sizes, strict=True)
        ]
        loss: Tensor = _library_loss(self.name, _PrecomputedScores(scores))([queries, passages], grades)
        return loss

    def _cross_encode(self, pairs: list[tuple[str, str]]) -> Tensor:
        order = sorted(range(len(pairs)), key=lambda row: -len(pairs[row][0]) - len(pairs[row][1]))
        sorted_pairs = [pairs[row] for row in order]
        batches = [
            self.model.preprocess(sorted_pairs[start : start + self.micro_batch])
            for start in range(0, len(order), self.micro_batch)
        ]
        kept = self.memory.fits_step(sum(batch["attention_mask"].numel() for batch in batches))
        scores = in_micro_batches(self._scores, batches, self.model.device.type, kept=kept)
        return scores[torch.as_tensor(order, device=scores.device).argsort()]

    def _scores(self, tokens: dict[str, Any]) -> Tensor:
        here = {
            name: value.to(self.model.device) if isinstance(value, Tensor) else value for name, value in tokens.items()
        }
        scores: Tensor = self.model(here)["scores"].view(-1)
        return scores.to(torch.promote_types(scores.dtype, torch.float32))
