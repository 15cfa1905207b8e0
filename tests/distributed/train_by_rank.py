"""One process of a training, as torchrun starts it: trains on what a test put into a folder.

python train_by_rank.py FOLDER KIND[,KIND] LISTS_PER_STEP NAME

KIND is retriever, multi-vector, ranker or gradients.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import torch

from rankstill.distributed.processes import (
    all_gather_vectors,
    average_gradients,
    init_process_group,
    is_rank_zero,
    rank_shard,
    rank_weight,
)
from rankstill.losses.listmle import weighted_mean


def main(folder: Path, kinds: str, lists: int, name: str) -> None:
    torch.set_num_threads(1)
    made = folder / (name if is_rank_zero() else "follower")
    made.mkdir(exist_ok=True)
    for kind in kinds.split(","):
        values = [*gradients(), unweighted()] if kind == "gradients" else trained(folder, kind, lists, made)
        np.save(made / f"{kind}-weights.npy", torch.cat([each.flatten() for each in values]).numpy())


def trained(folder: Path, kind: str, lists: int, made: Path) -> list[torch.Tensor]:
    """A model's weights."""
    import rankstill.training
    from rankstill.compute import precision

    for module in (precision, rankstill.training):
        module.fast_precision = lambda device: False
    what = pickle.loads((folder / f"{kind}.pickle").read_bytes())
    config = what["config"].model_copy(update={"lists_per_step": lists})
    if kind == "multi-vector":
        from rankstill.data import Corpus
        from rankstill.multi_vector import multi_vector_encoder
        from rankstill.multi_vector.student import MULTI_VECTOR
        from rankstill.retriever import TrainingData, load_retriever
        from rankstill.retriever.training import train_student

        start = load_retriever(config, "cpu")
        model = multi_vector_encoder(start, np.ones(len(start.tokenizer), dtype=np.float32), 0.0)
        data = TrainingData(what["labels"], Corpus(*what["corpus"]), config, 0)
        train_student(model, MULTI_VECTOR, data, made, "multi-vector")
    elif kind == "retriever":
        from rankstill.data import Corpus
        from rankstill.retriever import TrainingData, train_retriever

        model = train_retriever(TrainingData(what["labels"], Corpus(*what["corpus"]), config, 0), made, "cpu")
    else:
        from rankstill.ranker import train_ranker

        model = train_ranker(what["lists"], config, what["start"], made, seed=0, device="cpu").cross_encoder
    return [each.detach() for each in model.parameters()]


def gradients() -> list[torch.Tensor]:
    """Of a model that embeds five texts, so two processes have unlike shares, for a loss over all their cosines."""
    init_process_group()
    draw = torch.Generator().manual_seed(0)
    texts, target = torch.randn(5, 4, generator=draw), torch.randn(5, 5, generator=draw)
    model = torch.nn.Linear(4, 3)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randn(weight.shape, generator=draw))
    vectors = all_gather_vectors(model(texts[rank_shard(5)]), 5)
    (vectors @ vectors.T - target).square().mean().backward()
    average_gradients(model)
    return [weight.grad for weight in model.parameters() if weight.grad is not None]


def unweighted() -> torch.Tensor:
    """The loss of a step whose lists all have weight 0."""
    losses, weights = torch.ones(3), torch.zeros(3)
    return weighted_mean(losses, weights) * rank_weight(weights.sum())


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4])
