"""Late interaction as a score of the first stage: the ranker has it where there is a multi-vector retriever."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import rankstill
from rankstill.config import Config
from rankstill.multi_vector import MeanMaxSim, TokenIndex, multi_vector_encoder
from rankstill.ranker import RankedList, Ranker, train_ranker
from rankstill.retrieval import FEATURES, LATE, FirstStage, PassageScorer

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

pytestmark = pytest.mark.usefixtures("full_precision")

QUERIES = ["how does magma of the volcano change", "yeast and flour"]


@pytest.fixture
def encoder(toy_first_stage: FirstStage) -> MultiVectorEncoder:
    weights = np.linspace(0.5, 2.0, len(toy_first_stage.model.tokenizer)).astype(np.float32)
    return multi_vector_encoder(toy_first_stage.model, weights, 1.0)


@pytest.fixture
def stage(toy_first_stage: FirstStage, encoder: MultiVectorEncoder, tmp_path: Path) -> FirstStage:
    index = TokenIndex.encode(encoder, toy_first_stage.corpus.texts(), tmp_path / "index")
    return toy_first_stage.with_late(MeanMaxSim(encoder, index))


def test_the_third_score_is_the_mean_maxsim(
    stage: FirstStage, toy_first_stage: FirstStage, encoder: MultiVectorEncoder
) -> None:
    assert toy_first_stage.late is None
    for query, found in zip(QUERIES, stage.search(QUERIES, 20), strict=True):
        (tokens,) = encoder.encode_query([query])
        passages = encoder.encode_document(stage.corpus.texts(found.positions))
        expected = encoder.similarity([tokens], passages)[0] / tokens.norm(dim=1).sum()
        np.testing.assert_allclose(found.features[:, 2], expected, atol=0.01)
        (plain,) = toy_first_stage.features([query], [found.positions])
        np.testing.assert_allclose(found.features[:, :2], plain, atol=1e-5)


def test_passages_given_as_text_score_as_in_the_corpus(
    stage: FirstStage, encoder: MultiVectorEncoder, tmp_path: Path
) -> None:
    PassageScorer(stage.model, stage.bm25.statistics, late=encoder).save(tmp_path / "scorer")
    scorer = PassageScorer.load(tmp_path / "scorer", "cpu")
    (expected,) = stage.features([QUERIES[0]], [np.arange(60)])
    got = scorer.features(QUERIES[0], list(stage.corpus.texts()))
    np.testing.assert_allclose(got[:, [0, 1]], expected[:, [0, 1]], atol=1e-5)
    np.testing.assert_allclose(got[:, 2], expected[:, 2], atol=0.01)
    assert scorer.features(QUERIES[0], []).shape == (0, 3)


def test_a_rankers_prior_weighs_it(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    lists = []
    for _ in range(40):
        features = random.normal(size=(8, 3)).astype(np.float32)
        order = np.argsort(-(features[:, 0] + 3 * features[:, 2]))
        lists.append(RankedList("q", tuple("abcdefgh"), features[order], 8))
    config = Config.model_validate({"dataset": {"source": "x"}, "ranker": {"cross_encoder": False}}).ranker
    train_ranker(lists, config, None, tmp_path, seed=0).save(tmp_path / "ranker")
    ranker = Ranker.load(tmp_path / "ranker", "cpu")
    assert ranker.prior is not None
    assert ranker.prior.features == (*FEATURES, LATE)
    assert ranker.prior.weights[2] > 2 * ranker.prior.weights[0] > 0


@pytest.mark.parametrize("make", [True, False])
def test_the_chain_s_rankers_know_it_where_there_is_a_multi_vector_retriever(
    make: bool, toy_config: Callable[..., Config], tmp_path: Path
) -> None:
    outcome = rankstill.distill(toy_config({"multi_vector.make": make}), tmp_path / "w")
    for name in ("ranker", "reranker"):
        described = json.loads((tmp_path / "w" / name / "ranker.json").read_text())
        assert described["features"] == [*FEATURES, *([LATE] if make else [])]
    assert outcome.reranker is not None
    reranker = Ranker.load(outcome.reranker, "cpu")
    assert len(reranker.rank(QUERIES[0], ["magma of the volcano", "yeast"])) == 2


def test_a_run_without_one_does_not_use_what_an_earlier_run_left(
    toy_config: Callable[..., Config], tmp_path: Path
) -> None:
    for make in (True, False):
        outcome = rankstill.distill(toy_config({"multi_vector.make": make}), tmp_path / "w")
        assert outcome.table is not None
        assert ("multi-vector" in [system.name for system in outcome.table.systems]) == make
        described = json.loads((tmp_path / "w" / "ranker" / "ranker.json").read_text())
        assert (LATE in described["features"]) == make


def test_a_retriever_without_token_vectors_gets_none_and_says_so(
    toy_config: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rankstill.multi_vector.making.has_token_vectors", lambda model: False)
    outcome = rankstill.distill(toy_config(), tmp_path / "w")
    assert any("no multi-vector retriever" in note for note in outcome.notes)
    assert outcome.table is not None
    assert "multi-vector" not in [system.name for system in outcome.table.systems]
