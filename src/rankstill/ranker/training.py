"""LLM -> ranker: fit the prior, then train the cross-encoder on what the prior gets wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rankstill.compute.training_mode import without_dropout
from rankstill.distributed.processes import check_first_step, with_averaged_gradients
from rankstill.errors import DataError
from rankstill.losses.listmle import plackett_luce_nll, weighted_mean
from rankstill.ranker.model import Ranker, has_fresh_head, start_cross_encoder
from rankstill.ranker.prior import Features, Prior, fit_prior
from rankstill.reporting import NOWHERE, Reports
from rankstill.retrieval.first_stage import feature_names
from rankstill.training import hold_out, progress_callback, run_training, set_seed, training_arguments

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

    from rankstill.config import RankerConfig


LOSSES = "ranker-losses.json"
"""The training curve's file name."""
_FRESH_HEAD_RATE = 100.0
"""Times the learning rate. A head that starts at zero passes nothing on to the encoder until it has moved: at the
encoder's own rate 120 lists of 10 taught nothing (15.10 nats an unseen list, which is chance; at this one 15.04, and
13.31 after 477 lists)."""

_LISTS_TO_WEIGH_BY = 100
"""Before training: enough to say whether a cross-encoder adds anything, and a minute of two cores."""
_SHARPEST = 10.0
"""The most that the scores of a cross-encoder are multiplied by."""
_PRIOR_SPREAD = 0.5
"""How far the prior's weight is expected to lie from 1: a few lists move it little, and many by as much as they say."""


@dataclass(frozen=True)
class RankedList:
    """One of the teacher's rankings, with the first stage's scores of its passages.

    Args:
        passages: their texts, in the teacher's order, best first.
        features: their first-stage scores, columns as `feature_names` names them. [passages, features]
        known: how many leading passages the teacher itself placed; the rest is an unordered tail.
    """

    query: str
    passages: tuple[str, ...]
    features: Features
    known: int
    weight: float = 1.0


def train_ranker(
    lists: Sequence[RankedList],
    config: RankerConfig,
    start: str | None,
    folder: Path,
    *,
    seed: int,
    device: str | None = None,
    reports: Reports = NOWHERE,
) -> Ranker:
    """Train a ranker on the teacher's rankings (Li et al. 2024, stage 1).

    A cross-encoder that already ranks, but adds nothing to the prior, is left out and not trained.

    Args:
        start: the model that the cross-encoder starts from; None: there is no cross-encoder.
        folder: for the training curve, `ranker-losses.json`.

    Raises:
        DataError: there is no list to learn from, or only one for a cross-encoder, or too few for one step of all
            processes.
    """
    if not lists:
        raise DataError("rankings: no ranking belongs to a training query, so there is nothing to learn from.")
    prior = _fit_prior(lists) if config.prior else None
    if start is None:
        (folder / LOSSES).write_text("[]", encoding="utf-8")
        return Ranker(prior, None)
    if len(lists) == 1:
        raise DataError(
            "rankings: one list cannot teach a cross-encoder, because another one has to set its weight. Have the LLM "
            "rank more queries, or set ranker.cross_encoder: false."
        )
    set_seed(seed)
    cross_encoder = start_cross_encoder(start, config.max_length, device)
    unseen, taught = ([lists[row] for row in rows] for rows in hold_out(len(lists), config.holdout, seed))
    ranks = not has_fresh_head(cross_encoder)
    if prior is not None and ranks and not fit_weights(Ranker(prior, cross_encoder), taught[:_LISTS_TO_WEIGH_BY])[1]:
        (folder / LOSSES).write_text("[]", encoding="utf-8")
        return Ranker(prior, None)
    _train_cross_encoder(cross_encoder, taught, prior, config, folder, seed, reports)
    prior_weight, weight = fit_weights(Ranker(prior, cross_encoder), unseen)
    return Ranker(prior, cross_encoder, weight, prior_weight=prior_weight)


def _fit_prior(lists: Sequence[RankedList]) -> Prior:
    names = feature_names(lists[0].features.shape[1])
    columns, known = [entry.features for entry in lists], [entry.known for entry in lists]
    return fit_prior(names, columns, known, [entry.weight for entry in lists])


def _train_cross_encoder(
    model: CrossEncoder,
    lists: Sequence[RankedList],
    prior: Prior | None,
    config: RankerConfig,
    folder: Path,
    seed: int,
    reports: Reports,
) -> None:
    from datasets import Dataset as Rows
    from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments

    from rankstill.ranker.loss import ListwiseLoss  # loads torch

    check_first_step(len(lists), config.lists_per_step, "ranker")
    without_dropout(model)
    fresh = has_fresh_head(model)
    rate = config.learning_rate or (1e-4 if fresh else 3e-5)
    arguments = training_arguments(
        CrossEncoderTrainingArguments,
        folder / "trainer",
        str(model.device),
        epochs=config.epochs,
        batch=config.lists_per_step,
        rate=rate,
        seed=seed,
        reports=reports.arguments("ranker"),
    )
    if fresh:
        arguments.learning_rate_mapping = {rf"^model\.{len(model) - 1}\.": _FRESH_HEAD_RATE * rate}
    trainer = with_averaged_gradients(CrossEncoderTrainer)(
        model=model,
        args=arguments,
        train_dataset=Rows.from_dict({"row": list(range(len(lists)))}),
        data_collator=ListCollator(lists, prior),
        loss=ListwiseLoss(model, config.loss),
        callbacks=[progress_callback("training the ranker")],
    )
    (folder / LOSSES).write_text(json.dumps(run_training(trainer, reports, "ranker")), encoding="utf-8")
    model.eval()


def fit_weights(ranker: Ranker, unseen: Sequence[RankedList]) -> tuple[float, float]:
    """Fit the weights of the prior and of the cross-encoder in their sum, on lists that did not train the latter.

    A cross-encoder that does not generalise gets weight 0 and does no harm. Beside one that ranks better than the
    prior, the prior counts less. Without a prior the weight is the inverse of a temperature: it fits the sharpness of
    the labels to the cross-encoder's accuracy.

    Args:
        unseen: lists that the cross-encoder has not seen.

    Returns:
        The prior's weight, 1 where there is none or no cross-encoder beside it; and the cross-encoder's.
    """
    import torch
    from scipy.optimize import minimize

    pairs = [(entry.query, passage) for entry in unseen for passage in entry.passages]
    own = torch.split(torch.from_numpy(ranker.cross_encode(pairs)), [len(entry.passages) for entry in unseen])
    base = [torch.from_numpy(scores) for scores in _prior_scores(ranker.prior, unseen)]
    known = torch.tensor([entry.known for entry in unseen])
    of_lists = torch.tensor([entry.weight for entry in unseen])

    def loss(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights = torch.tensor(point, requires_grad=True)
        sums = [weights[0] * prior + weights[1] * scores for prior, scores in zip(base, own, strict=True)]
        padded = torch.nn.utils.rnn.pad_sequence(sums, batch_first=True, padding_value=float("-inf"))
        surprise = (weights[0] - 1).square() / (2 * _PRIOR_SPREAD**2 * len(unseen))
        total = weighted_mean(plackett_luce_nll(padded, known), of_lists) + surprise
        (gradient,) = torch.autograd.grad(total, weights)
        return float(total.detach()), gradient.numpy()

    def fitted(prior: tuple[float, float | None], cross_encoder: tuple[float, float]) -> Any:
        return minimize(loss, (1.0, cross_encoder[1] / 10), jac=True, method="L-BFGS-B", bounds=[prior, cross_encoder])

    of_prior = (1.0, 1.0) if ranker.prior is None else (0.0, None)
    both, without = fitted(of_prior, (0.0, _SHARPEST)), fitted(of_prior, (0.0, 0.0))
    # Scores that know nothing gain a little too: by Wilks's theorem, twice the gain of all lists is then above 3.84 in
    # one case of twenty. Beside a prior, a weight that gains no more is 0, and spares the cross-encoder's time.
    by_chance = 3.84 / 2 / len(unseen) if ranker.prior is not None else 1e-3
    if without.fun - both.fun <= by_chance:
        return 1.0, 0.0
    return float(both.x[0]), float(both.x[1])


def _prior_scores(prior: Prior | None, lists: Sequence[RankedList]) -> list[NDArray[np.float32]]:
    """The prior's scores of each list; zeros where there is no prior. Each [passages]"""
    if prior is None:
        return [np.zeros(len(entry.passages), dtype=np.float32) for entry in lists]
    return [prior.scores(entry.features) for entry in lists]


class ListCollator:
    """Turns rows of the trainer's dataset into lists with the prior's scores."""

    # The trainer looks these up on every collator it is given.
    valid_label_columns = ("label",)
    prompts = None
    router_mapping = None

    def __init__(self, lists: Sequence[RankedList], prior: Prior | None) -> None:
        self._lists = lists
        self._prior = prior

    def __call__(self, rows: list[dict[str, int]]) -> dict[str, Any]:
        """Columns `query`, `passages`, `prior`, and as labels each list's number of known passages and its weight."""
        import torch

        chosen = [self._lists[row["row"]] for row in rows]
        return {
            "label": torch.tensor([[entry.known, entry.weight] for entry in chosen]),
            "query": [entry.query for entry in chosen],
            "passages": [list(entry.passages) for entry in chosen],
            "prior": [torch.from_numpy(scores) for scores in _prior_scores(self._prior, chosen)],
        }


def refit_prior(ranker: Ranker, lists: Sequence[RankedList]) -> Ranker:
    """The same ranker, with its prior refitted to the first-stage scores of another retriever.

    Args:
        lists: the teacher's rankings, with the new features.
    """
    if ranker.prior is None:
        return ranker
    weight, prior_weight = ranker.cross_encoder_weight, ranker.prior_weight
    return Ranker(_fit_prior(lists), ranker.cross_encoder, weight, prior_weight=prior_weight)
