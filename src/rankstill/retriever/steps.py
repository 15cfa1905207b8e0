"""What one training step holds: a few LLM-ranked queries, their passages, and the unlabelled queries that fit them.

Encoding a passage costs ten times what encoding a query does. So a step encodes the passages of a few LLM-ranked
queries once, and lets every pseudo-query whose labels fall on these passages ride along: the ranker's free labels
then cost a tenth of what lists of their own would.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from rankstill.distributed.processes import of_all, share
from rankstill.labels.table import LabelledQuery
from rankstill.retriever.loss import EXCLUDED, UNLABELLED

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


@dataclass(frozen=True)
class Step:
    """Queries against passages.

    Args:
        queries: texts, the `main` first ones being those that the step was built around.
        main: how many these are.
        positions: of the passages in the corpus. [passages]
        labels: the ranker's scores, `UNLABELLED` where it gave none, `EXCLUDED` where a query was made from the
            passage. [queries, passages]
    """

    queries: list[str]
    main: int
    positions: NDArray[np.int64]
    labels: NDArray[np.float32]


class StepBuilder:
    """Builds steps around given queries.

    Args:
        main: queries to build around: those that the LLM ranked, and some that it did not.
        riders: queries that may ride along.
        passages_per_query: how many labelled passages of a main query a step takes, drawn by the ranker's distribution,
            the best always among them.
        riders_per_step: at most.
        seed: of the sampling.
    """

    def __init__(
        self,
        main: Sequence[LabelledQuery],
        riders: Sequence[LabelledQuery],
        passages_per_query: int,
        riders_per_step: int,
        seed: int,
    ) -> None:
        self.main = main
        self.riders = riders
        self._passages_per_query = passages_per_query
        self._riders_per_step = riders_per_step if riders else 0
        self._random = np.random.default_rng(seed)
        self._carried_by, self._mass, self._rows_of = _by_passage(riders)

    def build(self, rows: Sequence[int]) -> Step:
        """The step around these rows of `main`."""
        chosen = [self.main[row] for row in rows]
        positions = np.unique(np.concatenate([self._sample(query) for query in chosen]))
        queries = chosen + self._fitting_riders(positions)
        labels = np.full((len(queries), len(positions)), UNLABELLED, dtype=np.float32)
        for row, query in enumerate(queries):
            column = np.searchsorted(positions, query.positions)
            here = positions[np.minimum(column, len(positions) - 1)] == query.positions
            labels[row, column[here]] = query.scores[here]
            if query.made_from is not None:
                labels[row, positions == query.made_from] = EXCLUDED
        return Step(queries=[query.text for query in queries], main=len(chosen), positions=positions, labels=labels)

    def _sample(self, query: LabelledQuery) -> NDArray[np.int64]:
        """The best passage and further ones drawn by the ranker's distribution: mostly hard ones, seldom a far one."""
        keys = query.scores + self._random.gumbel(size=len(query.scores))
        keys[0] = np.inf
        return query.positions[np.argsort(-keys)[: self._passages_per_query]]

    def _fitting_riders(self, positions: NDArray[np.int64]) -> list[LabelledQuery]:
        """Riders drawn by how much of the ranker's distribution falls on these passages."""
        if not self._riders_per_step:
            return []
        spans = [self._rows_of.get(int(position), slice(0, 0)) for position in positions]
        carried = np.concatenate([self._carried_by[span] for span in spans])
        if not len(carried):
            return []
        mass = np.bincount(carried, weights=np.concatenate([self._mass[span] for span in spans]))
        shared = np.bincount(carried)
        fitting = np.flatnonzero(shared >= 2)  # one passage alone would be a ranking of nothing
        if len(fitting) > self._riders_per_step:
            # Gumbel noise: sampling without replacement in proportion to the mass (Efraimidis and Spirakis 2006).
            keys = np.log(mass[fitting] + 1e-12) + self._random.gumbel(size=len(fitting))
            fitting = fitting[np.argpartition(-keys, self._riders_per_step)[: self._riders_per_step]]
        return [self.riders[int(row)] for row in fitting]


def _by_passage(riders: Sequence[LabelledQuery]) -> tuple[NDArray[np.int64], NDArray[np.float64], dict[int, slice]]:
    """Which riders label a passage, with what share of their distribution; slices by passage into both arrays."""
    if not riders:
        return np.empty(0, dtype=np.int64), np.empty(0), {}
    rows = np.repeat(np.arange(len(riders)), [len(query.positions) for query in riders])
    positions = np.concatenate([query.positions for query in riders])
    mass = np.concatenate([_softmax(query.scores) for query in riders])
    order = np.argsort(positions, kind="stable")
    found, starts = np.unique(positions[order], return_index=True)
    ends = np.append(starts[1:], len(order))
    slices = {int(p): slice(int(s), int(e)) for p, s, e in zip(found, starts, ends, strict=True)}
    return rows[order], mass[order], slices


def _softmax(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    powers: NDArray[np.float64] = np.exp(scores.astype(np.float64) - scores.max())
    shares: NDArray[np.float64] = powers / powers.sum()
    return shares


class StepCollator:
    """Turns rows of the trainer's dataset into a step's tensors; of several processes' rows, where several train.

    Every process then builds the same step, for builders of one seed draw alike, and has the tokens of its share of it.

    Args:
        builder: of the steps.
        text: gives the passage at a position of the corpus.
        model: whose tokenizer and prompts are used.
    """

    # The trainer looks these up on every collator it is given.
    valid_label_columns = ("label",)
    prompts = None
    router_mapping = None

    def __init__(self, builder: StepBuilder, text: Callable[[int], str], model: SentenceTransformer) -> None:
        self._builder = builder
        self._text = text
        self._model = model

    def __call__(self, rows: list[dict[str, int]]) -> dict[str, Any]:
        """Tokens of queries and passages, and `label`: scores with a last column that marks the main queries."""
        step = self._builder.build(of_all([row["row"] for row in rows]))
        marks = np.arange(len(step.queries)) < step.main
        batch: dict[str, Any] = {
            "label": torch.from_numpy(np.column_stack([step.labels, marks]).astype(np.float32)),
        }
        passages = [self._text(int(position)) for position in step.positions]
        for column, task, texts in (("query", "query", step.queries), ("passage", "document", passages)):
            prompt = self._model.prompts.get(task) or None
            tokens = self._model.preprocess(texts[share(len(texts))], prompt=prompt, task=task)
            batch.update({f"{column}_{name}": value for name, value in tokens.items()})
        return batch
