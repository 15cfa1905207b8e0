"""MaxSim in two stages: the passages whose mean vectors are nearest to the query, then their exact MaxSim."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rankstill.multi_vector.codes import Bits, Codec
from rankstill.multi_vector.index import TokenIndex
from rankstill.retrieval.first_stage import top
from rankstill.retrieval.late_interaction import Tokens
from rankstill.workspace import write_atomically

_BITS_OF_MEANS: Bits = 4
"""Means of 4 bits a dimension find what they find in full precision (docs/scaling.md)."""
_OF = 100
"""A query's best passages by which recall is measured; and the least depth."""
_MEANS, _MEASURED = "means", "two-stage.json"


@dataclass(frozen=True)
class TwoStageRecall:
    """The recall of a search in two stages against exact search.

    Args:
        depth: passages a query that the first stage leaves to the second.
        recall: share of exact search's best `of` passages among these, mean over the queries.
        worst: the same share for the worst query.
    """

    depth: int
    recall: float
    worst: float
    of: int
    queries: int

    def describe(self) -> str:
        """In one sentence, for the notes of a step."""
        return (
            f"multi-vector search in two stages: recall {self.recall:.3f} of exact search at depth {self.of} (worst "
            f"query {self.worst:.2f}) by MaxSim of {self.depth:,} passages, measured on {self.queries} of your queries"
        )


@dataclass(frozen=True)
class TwoStage:
    """Search by MaxSim that does not compare a query with every token of the corpus.

    Args:
        index: the passages' token vectors.
        means: one vector a passage, the mean of its token vectors.
        depth: passages a query that the second stage looks at.
    """

    index: TokenIndex
    means: TokenIndex
    depth: int

    @classmethod
    def load(cls, folder: Path) -> TwoStage:
        """Read it from the folder of an index for which `make_two_stage` was called."""
        measured = TwoStageRecall(**json.loads((folder / _MEASURED).read_text(encoding="utf-8")))
        return cls(TokenIndex.load(folder), TokenIndex.load(folder / _MEANS), measured.depth)

    def candidates(self, query: Tokens, device: str = "cpu") -> NDArray[np.int64]:
        """Positions of the passages that the first stage leaves, ascending. [passages]

        Args:
            query: its token vectors. [tokens, dimensions]
            device: where products are computed.
        """
        (near,) = self.means.scores([_sum(query)], device)
        return np.sort(top(near, self.depth))

    def nearest(self, query: Tokens, k: int, device: str = "cpu") -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The k passages of the highest MaxSim among the candidates.

        Args:
            query: its token vectors. [tokens, dimensions]
            k: how many; `depth` at most.
            device: where products are computed.

        Returns:
            Positions, best first, ties in order of position, and their MaxSim. [k], [k]
        """
        left = self.candidates(query, device)
        (scores,) = self.index.scores_of([query], [left], device)
        best = top(scores, k)
        return left[best], scores[best]


def make_two_stage(index: TokenIndex, queries: Sequence[Tokens], least: float, device: str = "cpu") -> TwoStageRecall:
    """Write the files of a search in two stages into an index's folder, and the depth at which its recall is enough.

    Args:
        index: the passages' token vectors.
        queries: token vectors of the user's own queries, to measure with. Each [tokens, dimensions]
        least: the recall to reach, against exact search's best hundred passages.
        device: where products are computed.
    """
    means = _write_means(index)
    measured = _measure(index, means, queries, least, device)
    write_atomically(index.folder / _MEASURED, json.dumps(asdict(measured)) + "\n")
    return measured


def _write_means(index: TokenIndex) -> TokenIndex:
    """The mean of each passage's token vectors, of length 1; none of a passage without tokens."""

    def means(passages: slice) -> list[Tokens]:
        every = index.vectors(np.arange(passages.start, passages.stop))
        return [_unit(each.mean(axis=0, keepdims=True)) if len(each) else each for each in every]

    codec = Codec.of(_BITS_OF_MEANS, index.codec.dimensions)
    return TokenIndex.write(index.folder / _MEANS, len(index), codec, "averaging token vectors", means)


def _measure(
    index: TokenIndex, means: TokenIndex, queries: Sequence[Tokens], least: float, device: str
) -> TwoStageRecall:
    """With the least depth that suffices: the number of the best, doubled until it does."""
    near = means.scores([_sum(query) for query in queries], device)
    ranks = [_ranks(rough, top(exact, _OF)) for exact, rough in zip(index.scores(queries, device), near, strict=True)]
    depth = _OF
    while True:
        shares = [float((each < depth).mean()) for each in ranks]
        if np.mean(shares) >= least or depth >= len(index):
            return TwoStageRecall(depth, float(np.mean(shares)), min(shares), _OF, len(queries))
        depth *= 2


def _ranks(scores: NDArray[np.float32], positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many passages come before each of these, by their scores. [positions]"""
    order = top(scores, len(scores))
    ranks = np.empty(len(scores), dtype=np.int64)
    ranks[order] = np.arange(len(order))
    return ranks[positions]


def _sum(query: Tokens) -> Tokens:
    """The sum of a query's token vectors: of the same direction as their mean. [1, dimensions]"""
    summed: Tokens = query.sum(axis=0, keepdims=True)
    return summed


def _unit(vectors: Tokens) -> Tokens:
    scaled: Tokens = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    return scaled
