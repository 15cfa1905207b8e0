"""LLM -> ranker: training on the teacher's lists."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from rankstill.config import RankerConfig
from rankstill.errors import DataError
from rankstill.losses.listmle import plackett_luce_nll
from rankstill.ranker import RankedList, Ranker, train_ranker
from rankstill.ranker.prior import Prior, fit_prior
from rankstill.ranker.training import LOSSES, ListCollator, fit_weights, refit_prior
from rankstill.retrieval import FEATURES

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

pytestmark = pytest.mark.usefixtures("full_precision")

QUICK = RankerConfig(epochs=12, learning_rate=3e-3, lists_per_step=4, max_length=64)
PLAIN = QUICK.model_copy(update={"prior": False})


def scores_of(ranker: Ranker, lists: list[RankedList]) -> list[torch.Tensor]:
    pairs = [(entry.query, passage) for entry in lists for passage in entry.passages]
    scores = ranker.score(pairs, np.concatenate([entry.features for entry in lists]))
    return list(torch.from_numpy(scores).split([len(entry.passages) for entry in lists]))


def mean_nll(ranker: Ranker, lists: list[RankedList]) -> float:
    losses = [
        plackett_luce_nll(scores[None], torch.tensor([entry.known]))
        for scores, entry in zip(scores_of(ranker, lists), lists, strict=True)
    ]
    return float(torch.cat(losses).mean())


def ordered_by(scores: np.ndarray, entry: RankedList, draw: np.random.Generator) -> RankedList:
    """The list's passages in an order drawn from the Plackett-Luce model of these scores."""
    order = np.argsort(-(scores + draw.gumbel(size=len(scores))))
    return replace(entry, passages=tuple(entry.passages[row] for row in order), features=entry.features[order])


@pytest.fixture
def many_lists(toy_lists: list[RankedList]) -> list[RankedList]:
    """Each query with the passages of five other lists: 120 lists of 10."""
    lists = []
    for row, entry in enumerate(toy_lists):
        for step in range(1, 6):
            other = toy_lists[(row + step) % len(toy_lists)]
            lists.append(
                RankedList(
                    entry.query,
                    entry.passages + other.passages,
                    np.concatenate([entry.features, other.features]),
                    10,
                )
            )
    return lists


def test_training_makes_the_teachers_lists_likelier(
    tiny_model_folder: Path, toy_lists: list[RankedList], tmp_path: Path
) -> None:
    ranker = train_ranker(toy_lists, PLAIN, str(tiny_model_folder), tmp_path, seed=0, device="cpu")
    untrained = np.log(120)  # a cross-encoder that starts at zero finds every order of five equally likely
    assert mean_nll(ranker, toy_lists) < untrained - 0.5


def test_an_epoch_at_the_default_rate_moves_a_head_that_starts_at_zero(
    tiny_model_folder: Path, many_lists: list[RankedList], tmp_path: Path
) -> None:
    config = RankerConfig(prior=False, max_length=64)
    ranker = train_ranker(many_lists, config, str(tiny_model_folder), tmp_path, seed=0, device="cpu")
    chance = math.lgamma(11)  # every order of ten equally likely
    assert (
        mean_nll(Ranker(None, ranker.cross_encoder), many_lists) < chance - 0.05
    )  # at the rate of the encoder, which is tiny here: 0.002


def test_a_trained_ranker_is_no_worse_than_its_prior_on_the_lists(
    tiny_model_folder: Path, toy_lists: list[RankedList], tmp_path: Path
) -> None:
    ranker = train_ranker(toy_lists, QUICK, str(tiny_model_folder), tmp_path, seed=0, device="cpu")
    assert ranker.prior == fit_prior(FEATURES, [entry.features for entry in toy_lists], [5] * len(toy_lists))
    assert mean_nll(ranker, toy_lists) <= mean_nll(ranker.prior_alone(), toy_lists) + 1e-3


def test_the_same_seed_gives_the_same_ranker_and_another_seed_another(
    tiny_model_folder: Path, toy_lists: list[RankedList], tmp_path: Path
) -> None:
    config = PLAIN.model_copy(update={"epochs": 1})
    first, again, other = (
        torch.cat(scores_of(train_ranker(toy_lists, config, str(tiny_model_folder), tmp_path, seed=seed), toy_lists))
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.allclose(first, other, atol=1e-4)


def test_a_loss_of_the_librarys_teaches_as_well(
    tiny_model_folder: Path, toy_lists: list[RankedList], tmp_path: Path
) -> None:
    config = PLAIN.model_copy(update={"loss": "lambda"})
    ranker = train_ranker(toy_lists, config, str(tiny_model_folder), tmp_path, seed=0, device="cpu")
    gold_first = np.mean([int(scores.argmax()) == 0 for scores in scores_of(ranker, toy_lists)])
    assert gold_first > 0.5  # one in five by chance


def test_prior_alone_trains_no_cross_encoder(toy_lists: list[RankedList], tmp_path: Path) -> None:
    config = QUICK.model_copy(update={"cross_encoder": False})
    ranker = train_ranker(toy_lists, config, None, tmp_path, seed=0)
    assert ranker.cross_encoder is None
    assert ranker.prior is not None
    assert json.loads((tmp_path / LOSSES).read_text()) == []


def test_a_cross_encoder_that_adds_nothing_to_the_prior_is_not_trained_and_one_that_does_is(
    tiny_model_folder: Path, many_lists: list[RankedList], tmp_path: Path
) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from rankstill.models import save_model

    torch.manual_seed(1)
    knows_nothing, ranks = tmp_path / "random", tmp_path / "trained"
    AutoModelForSequenceClassification.from_pretrained(tiny_model_folder, num_labels=1).save_pretrained(knows_nothing)
    AutoTokenizer.from_pretrained(tiny_model_folder).save_pretrained(knows_nothing)
    left_out = train_ranker(many_lists, QUICK, str(knows_nothing), tmp_path, seed=0, device="cpu")
    assert left_out.cross_encoder is None
    assert json.loads((tmp_path / LOSSES).read_text()) == []
    # Without a prior it is all there is, and is trained.
    alone = train_ranker(many_lists, PLAIN, str(knows_nothing), tmp_path, seed=0, device="cpu").cross_encoder
    assert alone is not None
    save_model(alone, ranks)
    kept = train_ranker(many_lists, QUICK, str(ranks), tmp_path, seed=0, device="cpu")
    assert kept.cross_encoder is not None
    assert len(json.loads((tmp_path / LOSSES).read_text())) > 0


def test_the_training_curve_is_kept(tiny_model_folder: Path, toy_lists: list[RankedList], tmp_path: Path) -> None:
    train_ranker(toy_lists, PLAIN, str(tiny_model_folder), tmp_path, seed=0, device="cpu")
    curve = json.loads((tmp_path / LOSSES).read_text())
    assert [entry["step"] for entry in curve] == [*range(2, 61, 2)]  # a sixth of the lists is held out
    assert curve[-1]["loss"] < curve[0]["loss"]


def test_training_prints_nothing_of_the_librarys(
    tiny_model_folder: Path, toy_lists: list[RankedList], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_ranker(toy_lists, PLAIN, str(tiny_model_folder), tmp_path, seed=0, device="cpu")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "widget examples" not in printed.err


def test_no_lists_are_nothing_to_learn_from(tiny_model_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing to learn from"):
        train_ranker([], QUICK, str(tiny_model_folder), tmp_path, seed=0)


def test_one_list_cannot_teach_a_cross_encoder_and_the_prior_needs_no_more(
    tiny_model_folder: Path, toy_lists: list[RankedList], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="one list cannot teach a cross-encoder"):
        train_ranker(toy_lists[:1], QUICK, str(tiny_model_folder), tmp_path, seed=0)
    assert train_ranker(toy_lists[:1], QUICK, None, tmp_path, seed=0).prior is not None


def test_a_cross_encoder_that_knows_nothing_of_the_order_gets_no_weight(
    cross_encoder: CrossEncoder, many_lists: list[RankedList]
) -> None:
    prior = Prior(FEATURES, (0.0, 5.0))
    draw = np.random.default_rng(0)
    lists = [ordered_by(prior.scores(entry.features), entry, draw) for entry in many_lists]
    assert fit_weights(Ranker(prior, cross_encoder), lists) == (1.0, 0.0)


def test_a_cross_encoder_that_knows_the_order_gets_the_weight_that_made_it(
    cross_encoder: CrossEncoder, many_lists: list[RankedList]
) -> None:
    prior = Prior(FEATURES, (0.0, 5.0))
    truth = Ranker(prior, cross_encoder, 0.8)
    draw = np.random.default_rng(0)
    lists = [
        ordered_by(scores.numpy(), entry, draw)
        for scores, entry in zip(scores_of(truth, many_lists), many_lists, strict=True)
    ]
    assert fit_weights(Ranker(prior, cross_encoder), lists) == pytest.approx((1.0, 0.8), abs=0.15)


def test_a_prior_that_is_wrong_counts_little_beside_a_cross_encoder_that_is_right(
    cross_encoder: CrossEncoder, many_lists: list[RankedList]
) -> None:
    draw, of_the_order = np.random.default_rng(0), Ranker(None, cross_encoder, 3.0)
    lists = [
        ordered_by(scores.numpy(), entry, draw)
        for scores, entry in zip(scores_of(of_the_order, many_lists), many_lists, strict=True)
    ]
    of_prior, of_cross_encoder = fit_weights(Ranker(Prior(FEATURES, (0.0, 5.0)), cross_encoder), lists)
    assert of_prior < 0.2
    assert of_cross_encoder == pytest.approx(3.0, abs=0.4)


def test_a_few_lists_hardly_change_the_priors_weight(cross_encoder: CrossEncoder, many_lists: list[RankedList]) -> None:
    draw, prior = np.random.default_rng(0), Prior(FEATURES, (0.0, 5.0))
    scores = scores_of(Ranker(None, cross_encoder, 3.0), many_lists)
    lists = [ordered_by(own.numpy(), entry, draw) for own, entry in zip(scores, many_lists, strict=True)]
    few, many = (fit_weights(Ranker(prior, cross_encoder), part)[0] for part in (lists[:3], lists))
    assert many < few


def test_a_cross_encoder_alone_is_made_as_sharp_as_it_is_right(
    cross_encoder: CrossEncoder, many_lists: list[RankedList]
) -> None:
    draw = np.random.default_rng(0)
    lists = [
        ordered_by(scores.numpy(), entry, draw)
        for scores, entry in zip(scores_of(Ranker(None, cross_encoder, 3.0), many_lists), many_lists, strict=True)
    ]
    assert fit_weights(Ranker(None, cross_encoder), lists) == pytest.approx((1.0, 3.0), abs=0.4)


def test_refitting_the_prior_keeps_the_cross_encoder_and_its_weight(
    cross_encoder: CrossEncoder, toy_lists: list[RankedList]
) -> None:
    old = Ranker(Prior(FEATURES, (1.0, 1.0)), cross_encoder, 0.4, prior_weight=0.7)
    new = refit_prior(old, toy_lists)
    assert new.prior == fit_prior(FEATURES, [entry.features for entry in toy_lists], [5] * len(toy_lists))
    assert new.cross_encoder is cross_encoder
    assert (new.prior_weight, new.cross_encoder_weight) == (0.7, 0.4)


def test_a_plain_ranker_has_no_prior_to_refit(cross_encoder: CrossEncoder, toy_lists: list[RankedList]) -> None:
    plain = Ranker(None, cross_encoder)
    assert refit_prior(plain, toy_lists) is plain


def test_collated_lists_carry_the_priors_scores(toy_lists: list[RankedList]) -> None:
    prior = Prior(FEATURES, (1.0, 2.0))
    partial = replace(toy_lists[1], known=2, weight=0.25)
    batch = ListCollator([toy_lists[0], partial], prior)([{"row": 1}, {"row": 0}])
    assert batch["query"] == [partial.query, toy_lists[0].query]
    assert batch["passages"] == [list(partial.passages), list(toy_lists[0].passages)]
    assert batch["label"].tolist() == [[2.0, 0.25], [5.0, 1.0]]
    assert batch["prior"][0].tolist() == prior.scores(partial.features).tolist()


def test_without_a_prior_collated_lists_start_at_zero(toy_lists: list[RankedList]) -> None:
    assert ListCollator(toy_lists, None)([{"row": 3}])["prior"][0].tolist() == [0.0] * 5
