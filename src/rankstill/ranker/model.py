"""The ranker: a cross-encoder on top of a prior, saved as one folder and usable as a reranker in its own right."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rankstill.compute.compiled import compiled
from rankstill.compute.memory import DeviceMemory, release_memory
from rankstill.compute.precision import autocast
from rankstill.errors import ModelError
from rankstill.models import architecture_of, load_bi_encoder, load_cross_encoder, save_model
from rankstill.progress import progress
from rankstill.ranker.prior import Features, Prior
from rankstill.retrieval import FEATURES, LATE, PassageScorer

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

_FORMAT = 2


@dataclass(frozen=True)
class ScoredPassage:
    """One passage of a search, or of a reranked list.

    Args:
        position: where it stood in the list that was given.
        score: a ranker's is in log-odds, as the Plackett-Luce model reads them; a hybrid's compares within one query.
    """

    position: int
    score: float


class Ranker:
    """Scores query-passage pairs by a weighted sum: prior(first-stage scores) and cross-encoder(query, passage).

    Args:
        prior: the learned sum of first-stage scores, or None for the paper's plain ranker.
        cross_encoder: or None for the prior alone.
        cross_encoder_weight: of its score in the sum.
        prior_weight: of the prior's.
        first_stage: computes the prior's features for passages that come without them; only `rank` needs it.

    Raises:
        ValueError: neither a prior nor a cross-encoder.
    """

    def __init__(
        self,
        prior: Prior | None,
        cross_encoder: CrossEncoder | None,
        cross_encoder_weight: float = 1.0,
        first_stage: PassageScorer | None = None,
        prior_weight: float = 1.0,
    ) -> None:
        if prior is None and cross_encoder is None:
            raise ValueError("a ranker needs a prior, a cross-encoder or both")
        self.prior = prior
        self.cross_encoder = cross_encoder
        self.cross_encoder_weight = cross_encoder_weight
        self.prior_weight = prior_weight
        self.first_stage = first_stage

    def score(
        self,
        pairs: Sequence[tuple[str, str]],
        features: Features | None,
        batch_size: int = 32,
        known: dict[tuple[str, str], float] | None = None,
    ) -> Features:
        """Score pairs whose first-stage features are known.

        Args:
            pairs: (query, passage) texts.
            features: first-stage scores, columns as the prior names them; None if there is no prior. [pairs, features]
            batch_size: pairs a forward pass, at most, on a processor; a GPU takes what its memory holds
                (`DeviceMemory`).
            known: the cross-encoder's scores of some pairs, which are not computed again; new ones are added. A ranker
                whose prior was refitted shares them.

        Returns:
            Real-valued scores; higher is better. [pairs]
        """
        scores = np.zeros(len(pairs), dtype=np.float32)
        if self.prior is not None:
            if features is None:
                raise ValueError("this ranker has a prior: give the pairs' first-stage features, or use rank()")
            scores += np.float32(self.prior_weight) * self.prior.scores(features)
        if self.cross_encoder is not None and self.cross_encoder_weight > 0:
            if known is None:
                cross_encoded = self.cross_encode(pairs, batch_size)
            else:
                missing = [pair for pair in dict.fromkeys(pairs) if pair not in known]
                if missing:
                    known.update(zip(missing, self.cross_encode(missing, batch_size).tolist(), strict=True))
                cross_encoded = np.array([known[pair] for pair in pairs], dtype=np.float32)
            scores += np.float32(self.cross_encoder_weight) * cross_encoded
        return scores

    def prior_alone(self) -> Ranker:
        """The same ranker without its cross-encoder; itself if it has no prior."""
        return Ranker(self.prior, None, first_stage=self.first_stage) if self.prior else self

    def cross_encode(self, pairs: Sequence[tuple[str, str]], batch_size: int = 32) -> NDArray[np.float32]:
        """The cross-encoder's own scores. [pairs]"""
        import torch

        assert self.cross_encoder is not None
        scores = np.zeros(len(pairs), dtype=np.float32)
        order = sorted(range(len(pairs)), key=lambda row: -len(pairs[row][0]) - len(pairs[row][1]))
        memory, start = DeviceMemory.of(self.cross_encoder), 0
        characters = sum(len(query) + len(passage) for query, passage in pairs)
        with (
            progress("scoring pairs", len(pairs)) as advance,
            autocast(str(self.cross_encoder.device)),
            compiled(self.cross_encoder, characters),
        ):
            while start < len(order):
                together = memory.inference_batch_size(sum(map(len, pairs[order[start]])), batch_size)
                rows = order[start : start + 8 * max(batch_size, together)]
                scores[rows] = self.cross_encoder.predict(
                    [pairs[row] for row in rows],
                    batch_size=together,
                    show_progress_bar=False,
                    # The default sigmoid would flatten the distribution that the retriever learns from.
                    activation_fn=torch.nn.Identity(),
                )
                release_memory()
                advance(len(rows))
                start += len(rows)
        return scores

    def rank(self, query: str, passages: Sequence[str]) -> list[ScoredPassage]:
        """Rerank passages, best first; ties keep the given order.

        Args:
            query: the query's text.
            passages: their texts: title, a space, body.

        Raises:
            ModelError: the ranker has a prior but no first stage to compute its features with.
        """
        features = None
        if self.prior is not None:
            if self.first_stage is None:
                raise ModelError("this ranker's prior needs its first stage: load it with Ranker.load(folder)")
            features = self.first_stage.features(query, passages)
        scores = self.score([(query, passage) for passage in passages], features)
        order = np.argsort(-scores, kind="stable")
        return [ScoredPassage(position=int(position), score=float(scores[position])) for position in order]

    def save(self, folder: Path) -> None:
        """Everything that scoring needs, in one folder: `ranker.json` and the models beside it."""
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        if self.prior is not None:
            self.prior.save(folder / "prior.json")
        if self.cross_encoder is not None:
            save_model(self.cross_encoder, folder / "cross-encoder")
        if self.first_stage is not None:
            self.first_stage.save(folder / "first-stage")
        description = {
            "format": _FORMAT,
            "features": self.prior.features if self.prior else FEATURES,
            "cross_encoder_weight": self.cross_encoder_weight,
            "prior_weight": self.prior_weight,
        }
        (folder / "ranker.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path, device: str | None = None) -> Ranker:
        """Read what `save` wrote: the same scores on the same machine.

        Raises:
            ModelError: the folder holds no ranker, or one of another version.
        """
        folder = Path(folder)
        description = folder / "ranker.json"
        if not description.is_file():
            raise ModelError(f'{folder}: no "ranker.json" in it. Give the ranker folder of a workspace.')
        try:
            found = json.loads(description.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ModelError(f"{description}: damaged ({error}). Train the ranker again.") from None
        if found.get("format") != _FORMAT or found.get("features") not in ([*FEATURES], [*FEATURES, LATE]):
            raise ModelError(f"{folder}: made by another version of rankstill. Train the ranker again.")
        names = ("prior.json", "cross-encoder", "first-stage")
        part = {name: folder / name for name in names}
        return cls(
            prior=Prior.load(part["prior.json"]) if part["prior.json"].exists() else None,
            cross_encoder=load_cross_encoder(str(part["cross-encoder"]), device)
            if part["cross-encoder"].exists()
            else None,
            cross_encoder_weight=found["cross_encoder_weight"],
            first_stage=PassageScorer.load(part["first-stage"], device) if part["first-stage"].exists() else None,
            prior_weight=found.get("prior_weight", 1.0),  # rankers from before it was fitted have none
        )


def start_cross_encoder(name: str, max_length: int, device: str | None = None) -> CrossEncoder:
    """A cross-encoder to train, from a reranker or from any encoder.

    An encoder without a ranking head gets one over the mean of its token vectors, which starts at zero: the ranker
    then starts exactly at its prior.

    Args:
        max_length: tokens of a query-passage pair; what is over is cut from the passage.

    Raises:
        ModelError: there is no such model, or it cannot be reached or read.
    """
    import torch
    from sentence_transformers import CrossEncoder
    from sentence_transformers.base.modules import Dense
    from sentence_transformers.sentence_transformer.modules import Pooling

    if architecture_of(name).endswith("ForSequenceClassification"):
        return load_cross_encoder(name, device, max_length=max_length)
    encoder: Any = load_bi_encoder(name, device)[0]
    encoder.max_seq_length = max_length
    width = encoder.get_embedding_dimension()
    head = Dense(width, 1, activation_function=torch.nn.Identity(), module_output_name="scores")
    torch.nn.init.zeros_(head.linear.weight)
    torch.nn.init.zeros_(head.linear.bias)
    return CrossEncoder(modules=[encoder, Pooling(width), head], device=device)


def has_fresh_head(model: CrossEncoder) -> bool:
    """Whether the cross-encoder's head is one that `start_cross_encoder` put on, still at zero."""
    from sentence_transformers.base.modules import Dense

    return isinstance(model[-1], Dense) and not model[-1].linear.weight.any()
