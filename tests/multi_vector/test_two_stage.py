"""Two stages find what exact search finds, as far as was measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rankstill.multi_vector import TokenIndex, TwoStage, index
from rankstill.multi_vector.codes import Codec
from rankstill.multi_vector.two_stage import make_two_stage

PASSAGES, DIMENSIONS = 1000, 32
Tokens = NDArray[np.float32]


def unit(vectors: NDArray[np.float64]) -> Tokens:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def passages() -> list[Tokens]:
    """Token vectors around their passage's own subject, as those of a text are; the third passage has none."""
    draw = np.random.default_rng(0)
    subjects = draw.normal(size=(PASSAGES, 1, DIMENSIONS))
    made = [unit(each + draw.normal(size=(draw.integers(1, 20), DIMENSIONS))) for each in subjects]
    made[2] = np.empty((0, DIMENSIONS), dtype=np.float32)
    return made


@pytest.fixture
def queries(passages: list[Tokens]) -> list[Tokens]:
    """Near some tokens of a passage each, and of different lengths, as weights make them."""
    draw = np.random.default_rng(1)
    weights = draw.uniform(0.5, 2, size=(20, 4, 1)).astype(np.float32)
    near = [passages[row][:1] + 0.2 * draw.normal(size=(4, DIMENSIONS)) for row in range(10, 210, 10)]
    return [weight * unit(each) for weight, each in zip(weights, near, strict=True)]


@pytest.fixture
def made(passages: list[Tokens], tmp_path: Path) -> TokenIndex:
    return TokenIndex.write(tmp_path, PASSAGES, Codec.of(8, DIMENSIONS), "writing", lambda rows: passages[rows])


def test_two_stages_find_as_much_as_was_measured(made: TokenIndex, queries: list[Tokens]) -> None:
    measured = make_two_stage(made, queries, least=0.9)
    two = TwoStage.load(made.folder)
    assert two.depth == measured.depth < PASSAGES
    assert measured.queries == len(queries)
    shares = []
    for query, scores in zip(queries, made.scores(queries), strict=True):
        exact = np.argsort(-scores)[:100]
        found, maxsim = two.nearest(query, 100)
        np.testing.assert_allclose(maxsim, scores[found], rtol=1e-5)
        assert (np.diff(maxsim) <= 0).all()
        shares.append(len(set(exact.tolist()) & set(found.tolist())) / 100)
    assert measured.recall == pytest.approx(np.mean(shares))
    assert measured.worst == pytest.approx(min(shares))
    assert measured.recall >= 0.9


def test_more_recall_takes_more_depth_and_all_of_it_finds_all(made: TokenIndex, queries: list[Tokens]) -> None:
    depths = {least: make_two_stage(made, queries, least).depth for least in (0.3, 0.9, 1.0)}
    assert depths[0.3] < depths[0.9] < depths[1.0]
    assert make_two_stage(made, queries, 1.1).depth >= PASSAGES
    found, _ = TwoStage.load(made.folder).nearest(queries[0], 50)
    assert found.tolist() == np.argsort(-next(made.scores(queries[:1])), kind="stable")[:50].tolist()


def test_the_first_stage_is_the_cosine_of_means(
    made: TokenIndex, passages: list[Tokens], queries: list[Tokens]
) -> None:
    make_two_stage(made, queries, 0.9)
    two = TwoStage.load(made.folder)
    means = unit(np.stack([each.mean(axis=0) if len(each) else np.zeros(DIMENSIONS) for each in passages]) + 1e-12)
    for query in queries:
        expected = np.argsort(-(means @ query.mean(axis=0)))[: two.depth]
        assert len(set(expected.tolist()) & set(two.candidates(query).tolist())) > 0.9 * two.depth


def test_a_passage_without_tokens_is_never_found(made: TokenIndex, queries: list[Tokens]) -> None:
    make_two_stage(made, queries, 1.1)
    two = TwoStage.load(made.folder)
    assert all(2 not in two.nearest(query, PASSAGES)[0] for query in queries)
    nothing = np.empty((0, DIMENSIONS), dtype=np.float32)
    assert two.nearest(nothing, 3)[1].tolist() == [0, 0, 0]


def test_means_are_those_of_whole_passages_whatever_is_read_at_a_time(
    made: TokenIndex, queries: list[Tokens], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_two_stage(made, queries, 0.9)
    whole = (tmp_path / "means" / "codes").read_bytes()
    for each in (tmp_path / "means").iterdir():
        each.unlink()
    monkeypatch.setattr(index, "_TEXTS_A_STRETCH", 7)
    make_two_stage(made, queries, 0.9)
    assert (tmp_path / "means" / "codes").read_bytes() == whole
