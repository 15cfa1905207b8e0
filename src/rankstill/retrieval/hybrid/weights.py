"""How much vectors and BM25 count: two weights, fitted to the LLM's rankings and kept as a small JSON file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rankstill.errors import ModelError
from rankstill.ranker.prior import fit_prior
from rankstill.retrieval import FEATURES
from rankstill.retrieval.first_stage import BM25_SCALE

if TYPE_CHECKING:
    from rankstill.config import CandidatesConfig
    from rankstill.ranker import RankedList

_FORMAT = 1
_SUMMED = ("dense", "bm25")
COLUMNS = [FEATURES.index(name) for name in _SUMMED]
"""The columns of the two scores in the first stage's features."""


@dataclass(frozen=True)
class Hybrid:
    """A passage's score is `dense` * cosine + `bm25` * BM25; of a multi-vector retriever, `dense` * MaxSim + the same.

    BM25 is Lucene's: idf * tf / (tf + k1 * (1 - b + b * length / mean length)), with
    idf = ln(1 + (N - n + 0.5) / (n + 0.5)) for a term that n of the N passages hold.

    Args:
        dense: weight of the cosine of query and passage, or of their MaxSim.
        bm25: weight of the BM25 score.
        language: Snowball stemmer and stop words of BM25; None for neither.
        k1: BM25's term-frequency saturation.
        b: BM25's length normalisation.
        lists: how many LLM-ranked lists the weights were fitted to.
    """

    dense: float
    bm25: float
    language: str | None
    k1: float
    b: float
    lists: int

    def score(self, of_vectors: NDArray[np.float32], bm25: NDArray[np.float32]) -> NDArray[np.float32]:
        """The hybrid's scores of the same passages. [passages]"""
        return (self.dense * of_vectors + self.bm25 * bm25).astype(np.float32)

    def of_features(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """The hybrid's scores from the first stage's. [passages, features] -> [passages]"""
        cosines, bm25 = (features[:, column] for column in COLUMNS)
        return self.score(cosines, bm25 / BM25_SCALE)

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps({"format": _FORMAT, **asdict(self)}, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Hybrid:
        """Read what `save` wrote; ModelError if there is no such file, or it holds something else."""
        path = Path(path)
        if not path.is_file():
            raise ModelError(f"{path}: no such file. `rankstill run` writes hybrid.json into its workspace.")
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            if found.pop("format") != _FORMAT:
                raise ModelError(f"{path}: made by another version of rankstill. Run `rankstill run` again.")
            return cls(**found)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ModelError(f"{path}: not a hybrid's weights. Give the hybrid.json of a workspace.") from None


def fit_hybrid(
    lists: Sequence[RankedList], config: CandidatesConfig, maxsim: Sequence[NDArray[np.float32]] | None = None
) -> Hybrid:
    """The two weights that make the LLM's rankings likeliest (ListMLE, Xia et al. 2008), neither below 0.

    A score that the LLM's orders speak against gets weight 0: the search is then by the other one alone. Where they
    speak against both, it is dense.

    Args:
        maxsim: of each list's passages, in place of their cosines; None: the cosines. Each [passages]
    """
    summed = [each.features[:, COLUMNS] for each in lists]
    if maxsim is not None:
        summed = [np.column_stack([late, own[:, 1]]) for late, own in zip(maxsim, summed, strict=True)]
    prior = fit_prior(_SUMMED, summed, [each.known for each in lists], [each.weight for each in lists], least=0.0)
    dense, bm25 = prior.weights
    if not (dense or bm25):
        dense = 1.0
    return Hybrid(dense, bm25 * BM25_SCALE, config.language, config.k1, config.b, len(lists))
