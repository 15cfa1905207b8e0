"""Ranker -> labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankstill.data import Dataset
from rankstill.labels import LabelledQuery, UnlabelledQuery, keep_order, label
from rankstill.labels import labelling as module
from rankstill.labels.labelling import order_scores
from rankstill.ranker import Ranker
from rankstill.ranker.prior import Features, Prior
from rankstill.retrieval import FEATURES, FirstStage

NOTHING = np.empty(0, dtype=np.int64)
PRIOR = Prior(FEATURES, (2.0, 5.0))


class CountingRanker(Ranker):
    """A prior that remembers which queries it scored, and that can be stopped after some calls."""

    def __init__(self, stop_after: int | None = None) -> None:
        super().__init__(PRIOR, None)
        self.scored: list[str] = []
        self.stop_after = stop_after

    def score(self, pairs: Sequence[tuple[str, str]], features: Features | None, batch_size: int = 32) -> Features:
        if self.stop_after == 0:
            raise KeyboardInterrupt
        if self.stop_after is not None:
            self.stop_after -= 1
        self.scored += list(dict.fromkeys(query for query, _ in pairs))
        return super().score(pairs, features, batch_size)


@pytest.fixture
def queries(toy_dataset: Dataset, toy_first_stage: FirstStage) -> list[UnlabelledQuery]:
    """The training queries as the LLM ranked them, then the test queries as if unlabelled."""
    draw = np.random.default_rng(0)
    ranked = [
        UnlabelledQuery(
            each, toy_dataset.queries[each].text, "teacher", draw.permutation(60)[:5], draw.permutation(60)[:0]
        )
        for each in toy_dataset.train
    ]
    found = toy_first_stage.search(toy_dataset.texts_of(toy_dataset.test), 9)
    extra = [
        UnlabelledQuery(each, toy_dataset.queries[each].text, "unranked", NOTHING, candidates.positions)
        for each, candidates in zip(toy_dataset.test, found, strict=True)
    ]
    return [*ranked, *extra]


def assert_same(one: Iterable[LabelledQuery], other: Iterable[LabelledQuery]) -> None:
    for left, right in zip(one, other, strict=True):
        assert (left.id, left.text, left.source) == (right.id, right.text, right.source)
        np.testing.assert_array_equal(left.positions, right.positions)
        np.testing.assert_array_equal(left.scores, right.scores)


def test_labels_are_the_rankers_scores_best_first(
    queries: list[UnlabelledQuery], toy_first_stage: FirstStage, tmp_path: Path
) -> None:
    labels = list(label(queries, toy_first_stage, Ranker(PRIOR, None), tmp_path, ranked_by="ranker"))
    assert [each.id for each in labels] == [each.id for each in queries]
    features = toy_first_stage.features([each.text for each in labels], [each.positions for each in labels])
    for asked, got, known in zip(queries, labels, features, strict=True):
        assert len(got.positions) == (5 if asked.source == "teacher" else 9)
        np.testing.assert_allclose(got.scores, PRIOR.scores(known), atol=2e-2)  # bfloat16 where the machine has it
        assert (np.diff(got.scores) <= 0).all()


def test_the_passages_that_the_llm_ranked_are_labelled_and_those_added(
    toy_first_stage: FirstStage, tmp_path: Path
) -> None:
    query = UnlabelledQuery("q", "how does magma change", "teacher", np.array([7, 0, 33]), np.array([12, 50]))
    (got,) = label([query], toy_first_stage, Ranker(PRIOR, None), tmp_path, ranked_by="both")
    assert sorted(got.positions) == [0, 7, 12, 33, 50]


def test_the_llms_order_stands_and_the_ranker_gives_the_magnitudes(
    queries: list[UnlabelledQuery], toy_first_stage: FirstStage, tmp_path: Path
) -> None:
    ranked = [each for each in queries if each.source == "teacher"]
    ranker = Ranker(PRIOR, None)
    kept = list(label(ranked, toy_first_stage, ranker, tmp_path / "kept", ranked_by="both"))
    own = list(label(ranked, toy_first_stage, ranker, tmp_path / "own", ranked_by="ranker"))
    for query, mine, rankers in zip(ranked, kept, own, strict=True):
        assert mine.positions.tolist() == query.ranked.tolist()
        assert mine.scores.tolist() == rankers.scores.tolist()
    assert any(mine.positions.tolist() != rankers.positions.tolist() for mine, rankers in zip(kept, own, strict=True))


def test_the_llms_order_alone_weighs_ranks_by_one_over_their_square(
    toy_first_stage: FirstStage, tmp_path: Path
) -> None:
    query = UnlabelledQuery("q", "how does magma change", "teacher", np.array([7, 0, 33]), np.array([12, 50]))
    (got,) = label([query], toy_first_stage, Ranker(PRIOR, None), tmp_path, ranked_by="llm")
    assert got.positions.tolist() == [7, 0, 33, 12, 50]
    assert np.exp(got.scores).tolist() == pytest.approx([1, 1 / 4, 1 / 9, 1 / 16, 1 / 16])


def test_what_the_llm_never_ranked_keeps_the_rankers_scores_beside_its_order(
    queries: list[UnlabelledQuery], toy_first_stage: FirstStage, tmp_path: Path
) -> None:
    unseen = [each for each in queries if each.source != "teacher"]
    ranker = Ranker(PRIOR, None)
    for ranked_by in ("both", "llm"):
        labels = list(label(unseen, toy_first_stage, ranker, tmp_path / ranked_by, ranked_by=ranked_by))
        assert_same(labels, label(unseen, toy_first_stage, ranker, tmp_path / "own", ranked_by="ranker"))


def test_labelling_again_scores_nothing_again(
    queries: list[UnlabelledQuery], toy_first_stage: FirstStage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_QUERIES_A_SHARD", 8)
    first, second = CountingRanker(), CountingRanker()
    before = list(label(queries, toy_first_stage, first, tmp_path, ranked_by="both"))
    after = list(label(queries, toy_first_stage, second, tmp_path, ranked_by="both"))
    assert first.scored == [each.text for each in queries]
    assert second.scored == []
    assert_same(before, after)


def test_killed_while_labelling_resumes_without_scoring_a_query_twice(
    queries: list[UnlabelledQuery], toy_first_stage: FirstStage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_QUERIES_A_SHARD", 8)
    whole = list(label(queries, toy_first_stage, Ranker(PRIOR, None), tmp_path / "whole", ranked_by="both"))
    killed, resumed = CountingRanker(stop_after=2), CountingRanker()
    with pytest.raises(KeyboardInterrupt):
        list(label(queries, toy_first_stage, killed, tmp_path / "part", ranked_by="both"))
    labels = list(label(queries, toy_first_stage, resumed, tmp_path / "part", ranked_by="both"))
    assert len(killed.scored) == 16
    assert killed.scored + resumed.scored == [each.text for each in queries]
    assert_same(labels, whole)


def test_a_half_written_part_is_scored_again(
    queries: list[UnlabelledQuery], toy_first_stage: FirstStage, tmp_path: Path
) -> None:
    whole = list(label(queries[:4], toy_first_stage, Ranker(PRIOR, None), tmp_path, ranked_by="both"))
    (part,) = tmp_path.iterdir()
    part.unlink()
    part.with_suffix(".tmp").write_bytes(b"half a part")
    assert_same(label(queries[:4], toy_first_stage, Ranker(PRIOR, None), tmp_path, ranked_by="both"), whole)


def test_no_queries_give_no_labels(toy_first_stage: FirstStage, tmp_path: Path) -> None:
    assert list(label([], toy_first_stage, Ranker(PRIOR, None), tmp_path, ranked_by="both")) == []


SCORES = st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=12).map(lambda s: np.array(s, dtype=np.float32))


@given(SCORES, st.data())
def test_kept_order_descends_over_the_same_magnitudes_and_leaves_the_tail_alone(
    scores: np.ndarray, data: st.DataObject
) -> None:
    ranked = data.draw(st.integers(0, len(scores)))
    before = scores.copy()
    kept = keep_order(scores, ranked)
    assert (np.diff(kept[:ranked]) <= 0).all()
    assert sorted(kept[:ranked]) == sorted(scores[:ranked])
    assert kept[ranked:].tolist() == scores[ranked:].tolist()
    assert scores.tolist() == before.tolist()  # the ranker's own scores are not touched
    assert keep_order(kept, ranked).tolist() == kept.tolist()


@given(st.integers(1, 20), st.integers(0, 20))
def test_an_order_alone_descends_to_a_tail_of_equals(ranked: int, others: int) -> None:
    scores = order_scores(ranked, ranked + others)
    assert (np.diff(scores[: ranked + 1]) < 0).all()
    assert len(set(scores[ranked:].tolist())) <= 1
