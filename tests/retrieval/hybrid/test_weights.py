"""The hybrid's weights: fitted to rankings, never below 0, kept as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rankstill.config import CandidatesConfig
from rankstill.errors import ModelError
from rankstill.ranker import RankedList
from rankstill.retrieval import FEATURES
from rankstill.retrieval.first_stage import BM25_SCALE
from rankstill.retrieval.hybrid import Hybrid, fit_hybrid

CONFIG = CandidatesConfig(language="german", k1=0.9, b=0.4)


def lists_by(dense: float, bm25: float, count: int = 60) -> list[RankedList]:
    """Lists in the order that these weights of cosine and BM25, with some noise, give."""
    draw = np.random.default_rng(3)
    made = []
    for _ in range(count):
        features = draw.uniform(size=(10, len(FEATURES))).astype(np.float32)
        features[:, FEATURES.index("bm25")] *= 30 * BM25_SCALE
        raw = features[:, FEATURES.index("bm25")] / BM25_SCALE
        scores = dense * features[:, FEATURES.index("dense")] + bm25 * raw
        order = np.argsort(-(scores + draw.gumbel(size=10)))
        made.append(RankedList("q", ("p",) * 10, features[order], known=10))
    return made


def test_the_weights_that_made_the_rankings_are_found() -> None:
    hybrid = fit_hybrid(lists_by(dense=8.0, bm25=0.2, count=400), CONFIG)
    assert hybrid.dense == pytest.approx(8.0, rel=0.1)
    assert hybrid.bm25 == pytest.approx(0.2, rel=0.1)


def test_late_interaction_is_the_third_score_where_it_is_asked_for() -> None:
    draw, lists = np.random.default_rng(4), []
    for _ in range(400):
        features = draw.uniform(size=(10, 3)).astype(np.float32)
        order = np.argsort(-(features @ np.array([5.0, 2.0, 9.0]) + draw.gumbel(size=10)))
        lists.append(RankedList("q", ("p",) * 10, features[order], known=10))
    hybrid = fit_hybrid(lists, CONFIG, late=True)
    assert [hybrid.dense, hybrid.bm25 / BM25_SCALE, hybrid.late] == pytest.approx([5.0, 2.0, 9.0], rel=0.15)
    assert fit_hybrid(lists, CONFIG).late == 0.0
    features = lists[0].features
    assert hybrid.of_features(features) == pytest.approx(
        features @ np.array([hybrid.dense, hybrid.bm25 / BM25_SCALE, hybrid.late]), rel=1e-4
    )


def test_a_score_that_the_rankings_speak_against_gets_weight_zero() -> None:
    hybrid = fit_hybrid(lists_by(dense=5.0, bm25=-0.3), CONFIG)
    assert hybrid.bm25 == 0.0
    assert hybrid.dense > 1.0


def test_rankings_that_speak_against_both_leave_dense_search() -> None:
    hybrid = fit_hybrid(lists_by(dense=-5.0, bm25=-0.3), CONFIG)
    assert (hybrid.dense, hybrid.bm25) == (1.0, 0.0)


def test_scores_from_features_are_those_from_cosine_and_bm25() -> None:
    hybrid = Hybrid(3.0, 0.5, None, 1.2, 0.75, lists=1)
    features = np.zeros((2, len(FEATURES)), dtype=np.float32)
    features[:, FEATURES.index("dense")] = [0.5, 0.1]
    features[:, FEATURES.index("bm25")] = np.array([2.0, 9.0]) * BM25_SCALE
    assert hybrid.of_features(features) == pytest.approx([3.0 * 0.5 + 0.5 * 2.0, 3.0 * 0.1 + 0.5 * 9.0])


def test_a_file_gives_the_same_hybrid_back(tmp_path: Path) -> None:
    hybrid = fit_hybrid(lists_by(dense=5.0, bm25=0.1), CONFIG)
    hybrid.save(tmp_path / "hybrid.json")
    assert Hybrid.load(tmp_path / "hybrid.json") == hybrid
    assert json.loads((tmp_path / "hybrid.json").read_text())["language"] == "german"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not a hybrid's weights"),
        ("[1]", "not a hybrid's weights"),
        ('{"format": 2, "dense": 1}', "not a hybrid's weights"),
        ('{"format": 99}', "another version"),
    ],
)
def test_another_file_is_refused_by_name(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "hybrid.json").write_text(content)
    with pytest.raises(ModelError, match=message):
        Hybrid.load(tmp_path / "hybrid.json")
    with pytest.raises(ModelError, match=r"nothing\.json: no such file"):
        Hybrid.load(tmp_path / "nothing.json")
