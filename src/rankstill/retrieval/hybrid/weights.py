"""How much each first-stage score counts: weights fitted to the LLM's rankings and kept as a small JSON file."""

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
from rankstill.retrieval.first_stage import BM25_SCALE, FEATURES, LATE, feature_names

if TYPE_CHECKING:
    from rankstill.config import CandidatesConfig
    from rankstill.ranker import RankedList

_FORMAT = 2


@dataclass(frozen=True)
class Hybrid:
    """A passage's score is `dense` * cosine + `bm25` * BM25 + `late` * mean MaxSim.

    BM25 is Lucene's: idf * tf / (tf + k1 * (1 - b + b * length / mean length)), with
    idf = ln(1 + (N - n + 0.5) / (n + 0.5)) for a term that n of the N passages hold. The mean MaxSim is MaxSim over the
    sum of the lengths of the query's token vectors, so that it is at most 1.

    Args:
        dense: weight of the cosine of query and passage.
        bm25: weight of the BM25 score.
        language: Snowball stemmer and stop words of BM25; None for neither.
        k1: BM25's term-frequency saturation.
        b: BM25's length normalisation.
        lists: how many LLM-ranked lists the weights were fitted to.
        late: weight of the mean MaxSim; 0 without a multi-vector retriever.
    """

    dense: float
    bm25: float
    language: str | None
    k1: float
    b: float
    lists: int
    late: float = 0.0

    def score(
        self, cosines: NDArray[np.float32], bm25: NDArray[np.float32], late: NDArray[np.float32] | float = 0.0
    ) -> NDArray[np.float32]:
        """The hybrid's scores of the same passages. [passages]"""
        scores = self.dense * cosines + self.bm25 * bm25 + self.late * late
        return np.asarray(scores, dtype=np.float32)

    def of_features(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """The hybrid's scores from the first stage's, with or without `LATE`. [passages, features] -> [passages]"""
        column = dict(zip(feature_names(features.shape[1]), features.T, strict=True))
        return self.score(column["dense"], column["bm25"] / BM25_SCALE, column[LATE] if self.late else 0.0)

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps({"format": _FORMAT, **asdict(self)}, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Hybrid:
        """Read what `save` wrote; ModelError if there is no such file, or it holds something else."""
        path = Path(path)
        if not path.is_file():
            raise ModelError(
                f"{path}: no such file. `rankstill hybrid` and `rankstill run` write hybrid.json into their workspace."
            )
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            if found.pop("format") != _FORMAT:
                raise ModelError(f"{path}: made by another version of rankstill. Run `rankstill run` again.")
            return cls(**found)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ModelError(f"{path}: not a hybrid's weights. Give the hybrid.json of a workspace.") from None


def fit_hybrid(lists: Sequence[RankedList], config: CandidatesConfig, *, late: bool = False) -> Hybrid:
    """The weights that make the LLM's rankings likeliest (ListMLE, Xia et al. 2008), none below 0.

    A score that the LLM's orders speak against gets weight 0. Where they speak against all, the search is dense.

    Args:
        late: whether late interaction is one of the scores; every list's features then have its column.
    """
    summed = (*FEATURES, LATE) if late else FEATURES
    features = [each.features[:, : len(summed)] for each in lists]
    prior = fit_prior(summed, features, [each.known for each in lists], [each.weight for each in lists], least=0.0)
    weights = dict(zip(summed, prior.weights, strict=True))
    if not any(weights.values()):
        weights["dense"] = 1.0
    return Hybrid(
        dense=weights["dense"],
        bm25=weights["bm25"] * BM25_SCALE,
        late=weights.get(LATE, 0.0),
        language=config.language,
        k1=config.k1,
        b=config.b,
        lists=len(lists),
    )
