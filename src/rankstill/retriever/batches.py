"""Batches for training: a few labelled queries and their passages, each passage once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from rankstill.distributed.processes import all_gather_rows, rank_shard
from rankstill.labels.table import LabelledQuery
from rankstill.losses.kl import UNLABELLED

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


@dataclass(frozen=True)
class TrainingBatch:
    """The batch of one training step: every query against every passage.

    Args:
        positions: the positions of the passages in the corpus. [passages]
        labels: the ranker's scores, `UNLABELLED` where it gave none. [queries, passages]
    """

    queries: list[str]
    positions: NDArray[np.int64]
    labels: NDArray[np.float32]


class BatchBuilder:
    """Builds batches around given queries.

    Args:
        passages_per_query: how many labelled passages of a query a batch takes, drawn by the ranker's distribution, the
            best always among them.
    """

    def __init__(self, queries: Sequence[LabelledQuery], passages_per_query: int, seed: int) -> None:
        self._queries = queries
        self._passages_per_query = passages_per_query
        self._random = np.random.default_rng(seed)

    def build(self, rows: Sequence[int]) -> TrainingBatch:
        """Build the batch of these rows of the queries. A passage of another query keeps its label for this query."""
        chosen = [self._queries[row] for row in rows]
        positions = np.unique(np.concatenate([self._sample(query) for query in chosen]))
        labels = np.full((len(chosen), len(positions)), UNLABELLED, dtype=np.float32)
        for row, query in enumerate(chosen):
            column = np.searchsorted(positions, query.positions)
            here = positions[np.minimum(column, len(positions) - 1)] == query.positions
            labels[row, column[here]] = query.scores[here]
        return TrainingBatch(queries=[query.text for query in chosen], positions=positions, labels=labels)

    def _sample(self, query: LabelledQuery) -> NDArray[np.int64]:
        """The best passage and others sampled by the ranker's distribution, so mostly hard ones."""
        keys = query.scores + self._random.gumbel(size=len(query.scores))
        keys[0] = np.inf
        return query.positions[np.argsort(-keys)[: self._passages_per_query]]


class BatchCollator:
    """Turns rows of the trainer's dataset into a batch's tensors; of all ranks' rows, where several processes train.

    Every rank then builds the same batch, because builders of one seed sample alike, and tokenizes its shard of it.

    Args:
        builder: builds the batches.
        text: gives the passage at a position of the corpus.
        model: the model whose tokenizer and prompts are used.
    """

    # The trainer looks these up on every collator it is given.
    valid_label_columns = ("label",)
    prompts = None
    router_mapping = None

    def __init__(self, builder: BatchBuilder, text: Callable[[int], str], model: SentenceTransformer) -> None:
        self._builder = builder
        self._text = text
        self._model = model

    def __call__(self, rows: list[dict[str, int]]) -> dict[str, Any]:
        """Tokens of queries and passages, and `label`: the batch's labels."""
        built = self._builder.build(all_gather_rows([row["row"] for row in rows]))
        batch: dict[str, Any] = {"label": torch.from_numpy(built.labels)}
        passages = [self._text(int(position)) for position in built.positions]
        for column, task, texts in (("query", "query", built.queries), ("passage", "document", passages)):
            prompt = self._model.prompts.get(task) or None
            tokens = self._model.preprocess(texts[rank_shard(len(texts))], prompt=prompt, task=task)
            batch.update({f"{column}_{name}": value for name, value in tokens.items()})
        return batch
