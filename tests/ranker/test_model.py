"""The ranker as a thing of its own: scoring, reranking, saving and starting."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from rankstill.errors import ModelError
from rankstill.ranker import RankedList, Ranker
from rankstill.ranker.model import start_cross_encoder
from rankstill.ranker.prior import Prior
from rankstill.retrieval import FEATURES, FirstStage, PassageScorer

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

pytestmark = pytest.mark.usefixtures("full_precision")

PRIOR = Prior(FEATURES, (4.0, 7.0))
QUERY = "how does magma of the volcano change"


def logits(model: CrossEncoder, pairs: list[tuple[str, str]]) -> np.ndarray:
    """The model's raw outputs, a pair at a time."""
    import torch

    return np.array([float(model.predict([pair], activation_fn=torch.nn.Identity())[0]) for pair in pairs])


def pairs_of(lists: list[RankedList]) -> list[tuple[str, str]]:
    return [(entry.query, passage) for entry in lists for passage in entry.passages]


def features_of(lists: list[RankedList]) -> np.ndarray:
    return np.concatenate([entry.features for entry in lists])


def test_score_is_prior_plus_weighted_cross_encoder(cross_encoder: CrossEncoder, toy_lists: list[RankedList]) -> None:
    pairs, features = pairs_of(toy_lists[:4]), features_of(toy_lists[:4])
    expected = PRIOR.scores(features) + 0.7 * logits(cross_encoder, pairs)
    got = Ranker(PRIOR, cross_encoder, 0.7).score(pairs, features, batch_size=3)
    np.testing.assert_allclose(got, expected, atol=1e-4)


def test_a_refitted_ranker_takes_the_cross_encoders_scores_that_are_known(
    cross_encoder: CrossEncoder, toy_lists: list[RankedList], monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs, features = pairs_of(toy_lists[:4]), features_of(toy_lists[:4])
    known: dict[tuple[str, str], float] = {}
    rankers = [Ranker(prior, cross_encoder, 0.7) for prior in (PRIOR, Prior(FEATURES, (1.0, 2.0)))]
    expected = [ranker.score(pairs, features) for ranker in rankers]
    rankers[0].score(pairs[3:], features[3:], known=known)
    assert set(known) == set(pairs[3:])
    read = []
    monkeypatch.setattr(
        Ranker, "cross_encode", lambda self, asked, size: read.extend(asked) or logits(cross_encoder, asked)
    )
    for ranker, scores in zip(rankers, expected, strict=True):
        np.testing.assert_allclose(ranker.score(pairs, features, known=known), scores, atol=1e-4)
    assert read == [pair for pair in dict.fromkeys(pairs) if pair not in pairs[3:]]


def test_cross_encoder_scores_are_raw_not_squeezed_between_0_and_1(
    cross_encoder: CrossEncoder, toy_lists: list[RankedList]
) -> None:
    scores = Ranker(None, cross_encoder).score(pairs_of(toy_lists), None)
    assert scores.min() < -0.1 or scores.max() > 1.1
    np.testing.assert_allclose(scores, logits(cross_encoder, pairs_of(toy_lists)), atol=1e-4)


def test_prior_alone_scores_without_the_cross_encoder(cross_encoder: CrossEncoder, toy_lists: list[RankedList]) -> None:
    pairs, features = pairs_of(toy_lists[:2]), features_of(toy_lists[:2])
    alone = Ranker(PRIOR, cross_encoder, 0.7).prior_alone()
    assert alone.score(pairs, features).tolist() == PRIOR.scores(features).tolist()


def test_plain_ranker_stays_itself_when_asked_for_its_prior_alone(cross_encoder: CrossEncoder) -> None:
    plain = Ranker(None, cross_encoder)
    assert plain.prior_alone() is plain


def test_nothing_to_score_with_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a prior, a cross-encoder or both"):
        Ranker(None, None)


def test_a_prior_is_not_silently_left_out_when_features_are_missing() -> None:
    with pytest.raises(ValueError, match="first-stage features"):
        Ranker(PRIOR, None).score([(QUERY, "magma")], None)


def test_saved_ranker_loads_back_to_identical_scores(
    cross_encoder: CrossEncoder, toy_first_stage: FirstStage, toy_lists: list[RankedList], tmp_path: Path
) -> None:
    scorer = PassageScorer(toy_first_stage.model, toy_first_stage.bm25.statistics)
    ranker = Ranker(PRIOR, cross_encoder, 0.3, scorer, prior_weight=0.6)
    ranker.save(tmp_path / "ranker")
    loaded = Ranker.load(tmp_path / "ranker", "cpu")
    pairs, features = pairs_of(toy_lists), features_of(toy_lists)
    np.testing.assert_array_equal(loaded.score(pairs, features), ranker.score(pairs, features))
    assert loaded.rank(QUERY, toy_lists[0].passages) == ranker.rank(QUERY, toy_lists[0].passages)


@pytest.mark.parametrize("part", ["prior", "cross-encoder"])
def test_a_ranker_of_one_part_loads_back_as_one_part(cross_encoder: CrossEncoder, part: str, tmp_path: Path) -> None:
    ranker = Ranker(PRIOR, None) if part == "prior" else Ranker(None, cross_encoder)
    ranker.save(tmp_path / "ranker")
    loaded = Ranker.load(tmp_path / "ranker", "cpu")
    assert (loaded.prior is None) == (part != "prior")
    assert (loaded.cross_encoder is None) == (part == "prior")


def test_saving_over_a_ranker_leaves_nothing_of_the_old_one(cross_encoder: CrossEncoder, tmp_path: Path) -> None:
    Ranker(PRIOR, cross_encoder).save(tmp_path / "ranker")
    Ranker(PRIOR, None).save(tmp_path / "ranker")
    assert Ranker.load(tmp_path / "ranker", "cpu").cross_encoder is None


def test_loading_a_folder_without_a_ranker_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r'no "ranker.json" in it'):
        Ranker.load(tmp_path)


@pytest.mark.parametrize("change", [{"format": 0}, {"features": ["dense"]}])
def test_a_ranker_of_another_version_is_refused(change: dict[str, object], tmp_path: Path) -> None:
    Ranker(PRIOR, None).save(tmp_path / "ranker")
    description = tmp_path / "ranker" / "ranker.json"
    description.write_text(json.dumps({**json.loads(description.read_text()), **change}))
    with pytest.raises(ModelError, match="made by another version"):
        Ranker.load(tmp_path / "ranker")


def test_reranking_on_its_own_sorts_by_the_same_scores(
    cross_encoder: CrossEncoder, toy_first_stage: FirstStage
) -> None:
    scorer = PassageScorer(toy_first_stage.model, toy_first_stage.bm25.statistics)
    passages = [toy_first_stage.corpus.bodies[position] for position in (20, 0, 7, 33)]
    ranked = Ranker(PRIOR, cross_encoder, 0.5, scorer).rank(QUERY, passages)
    features = scorer.features(QUERY, passages)
    expected = PRIOR.scores(features) + 0.5 * logits(cross_encoder, [(QUERY, passage) for passage in passages])
    assert [each.position for each in ranked] == np.argsort(-expected).tolist()
    assert ranked[0].position == 1  # the passage about magma
    assert [each.score for each in ranked] == pytest.approx(sorted(expected, reverse=True), abs=1e-4)


def test_ties_keep_the_order_that_was_given(toy_first_stage: FirstStage) -> None:
    scorer = PassageScorer(toy_first_stage.model, toy_first_stage.bm25.statistics)
    ranker = Ranker(Prior(FEATURES, (0.0, 10.0)), None, first_stage=scorer)
    ranked = ranker.rank("magma", ["flour", "yeast", "magma", "dough", "magma"])
    assert [each.position for each in ranked] == [2, 4, 0, 1, 3]


def test_plain_ranker_reranks_without_a_first_stage(cross_encoder: CrossEncoder) -> None:
    ranked = Ranker(None, cross_encoder).rank(QUERY, ["magma and lava", "yeast and flour"])
    assert sorted(each.position for each in ranked) == [0, 1]
    assert ranked[0].score > ranked[1].score


def test_no_passages_are_ranked_as_none(cross_encoder: CrossEncoder, toy_first_stage: FirstStage) -> None:
    scorer = PassageScorer(toy_first_stage.model, toy_first_stage.bm25.statistics)
    assert Ranker(PRIOR, cross_encoder, first_stage=scorer).rank(QUERY, []) == []


def test_reranking_with_a_prior_but_no_first_stage_says_how_to_get_one() -> None:
    with pytest.raises(ModelError, match=r"Ranker\.load"):
        Ranker(PRIOR, None).rank(QUERY, ["magma"])


def test_a_new_cross_encoder_starts_at_zero_and_so_at_the_prior(
    tiny_model_folder: Path, toy_lists: list[RankedList]
) -> None:
    started = start_cross_encoder(str(tiny_model_folder), 64, "cpu")
    pairs, features = pairs_of(toy_lists), features_of(toy_lists)
    assert Ranker(None, started).score(pairs, None).tolist() == [0.0] * len(pairs)
    assert Ranker(PRIOR, started).score(pairs, features).tolist() == PRIOR.scores(features).tolist()


def test_pairs_are_cut_to_the_given_length_from_the_passage(tiny_model_folder: Path) -> None:
    started = start_cross_encoder(str(tiny_model_folder), 16, "cpu")
    tokens = started.preprocess([("magma", "lava " * 100)])["input_ids"][0]
    assert len(tokens) == 16
    assert started.tokenizer.decode(tokens).startswith("[CLS] magma [SEP] lava")


def test_a_reranker_that_is_there_already_keeps_its_head(tiny_model_folder: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    torch.manual_seed(1)
    config = BertConfig.from_pretrained(tiny_model_folder, num_labels=1, initializer_range=0.3)
    BertForSequenceClassification(config).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_model_folder).save_pretrained(tmp_path)
    started = start_cross_encoder(str(tmp_path), 64, "cpu")
    pairs = [(QUERY, "magma and lava"), (QUERY, "yeast and flour")]
    tokens = AutoTokenizer.from_pretrained(tmp_path)(*zip(*pairs, strict=True), padding=True, return_tensors="pt")
    with torch.no_grad():
        raw = BertForSequenceClassification.from_pretrained(tmp_path).eval()(**tokens).logits[:, 0]
    np.testing.assert_allclose(Ranker(None, started).score(pairs, None), raw, atol=1e-5)
    assert len(started.preprocess([("magma", "lava " * 100)])["input_ids"][0]) == 64
