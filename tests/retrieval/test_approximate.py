"""An approximate index is used as far as it was measured; word indexes on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rankstill.config import CandidatesConfig
from rankstill.errors import RankstillError
from rankstill.retrieval import FirstStage, approximate, bm25, nearest_passages
from rankstill.retrieval.approximate import ApproximateIndex, cached_approximate_index
from rankstill.retrieval.bm25 import Analyzer, BM25Index, cached_index

if TYPE_CHECKING:
    from rankstill.data import Dataset

faiss = pytest.importorskip("faiss")
DIMENSIONS, PASSAGES = 32, 4000


def unit(vectors: NDArray[np.float64]) -> NDArray[np.float32]:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def passages(tmp_path: Path) -> NDArray[np.float32]:
    """Vectors in groups, as texts are, memory-mapped."""
    draw = np.random.default_rng(0)
    groups = draw.normal(size=(60, DIMENSIONS))
    np.save(
        tmp_path / "passages.npy",
        unit(groups[draw.integers(60, size=PASSAGES)] + 0.5 * draw.normal(size=(PASSAGES, DIMENSIONS))),
    )
    return np.load(tmp_path / "passages.npy", mmap_mode="r")


@pytest.fixture
def queries(passages: NDArray[np.float32]) -> NDArray[np.float32]:
    draw = np.random.default_rng(1)
    near = passages[draw.integers(PASSAGES, size=40)]
    return unit(near + 0.05 * draw.normal(size=(40, DIMENSIONS)))


@pytest.mark.parametrize("factory", ["Flat", "IVF16,Flat", "IVF16,SQ8", "HNSW16"])
def test_a_trusted_index_finds_as_much_as_was_measured(
    factory: str, passages: NDArray[np.float32], queries: NDArray[np.float32], tmp_path: Path
) -> None:
    index, measured = cached_approximate_index(passages, factory, queries, tmp_path / "index", least=0.9, made_from="v")
    assert index is not None
    found, cosines = index.nearest(queries, 100)
    exact, _ = nearest_passages(queries, passages, 100)
    shares = [len(set(a) & set(b)) / 100 for a, b in zip(found.tolist(), exact.tolist(), strict=True)]
    assert measured.recall == pytest.approx(np.mean(shares), abs=1e-6)
    assert measured.worst == pytest.approx(min(shares), abs=1e-6)
    assert measured.recall >= 0.9
    assert (np.diff(cosines, axis=1) <= 0).all()
    true = np.take_along_axis(queries @ passages.T, found, axis=1)
    np.testing.assert_allclose(cosines, true, atol=1e-5)


def test_the_least_effort_that_suffices_is_taken(
    passages: NDArray[np.float32], queries: NDArray[np.float32], tmp_path: Path
) -> None:
    efforts = []
    for least in (0.3, 0.9, 1.0):
        _, measured = cached_approximate_index(
            passages, "IVF64,Flat", queries, tmp_path / str(least), least=least, made_from="v"
        )
        efforts.append(measured.effort)
    assert efforts[0] < efforts[1] < efforts[2] <= 64


@pytest.mark.parametrize("factory", ["IVF16,PQ4x4,Refine(SQfp16)", "PCA16,IVF16,PQ4x4,RFlat", "HNSW4,Refine(SQfp16)"])
def test_an_index_that_refines_what_it_finds_finds_more_with_more_effort(
    factory: str, passages: NDArray[np.float32], queries: NDArray[np.float32], tmp_path: Path
) -> None:
    little, much = (
        cached_approximate_index(passages, factory, queries, tmp_path / str(least), least=least, made_from="v")[1]
        for least in (0.0, 1.0)
    )
    assert little.effort < much.effort
    assert little.recall < much.recall


def test_an_index_of_many_lists_that_refines_is_trained_on_as_many_passages_as_one_that_does_not() -> None:
    plain, refining = (
        approximate._trained_on(faiss.index_factory(DIMENSIONS, factory))
        for factory in ("IVF2048,PQ4x4", "IVF2048,PQ4x4,Refine(SQfp16)")
    )
    assert plain == refining == 64 * 2048


def test_an_index_below_the_least_recall_is_not_used_and_says_so(
    passages: NDArray[np.float32], queries: NDArray[np.float32], tmp_path: Path
) -> None:
    index, measured = cached_approximate_index(
        passages, "PQ2x4", queries, tmp_path / "index", least=0.95, made_from="v"
    )
    assert index is None
    assert measured.recall < 0.95
    assert "search is exact" in measured.describe()
    assert f"recall {measured.recall:.3f}" in measured.describe()


def test_a_kept_index_is_built_once_for_the_same_making(
    passages: NDArray[np.float32], queries: NDArray[np.float32], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, built = approximate.build, []
    monkeypatch.setattr(approximate, "build", lambda *given: built.append(given[1]) or real(*given))

    def keep(factory: str, made_from: str) -> object:
        return cached_approximate_index(passages, factory, queries, tmp_path / "index", least=0.5, made_from=made_from)[
            1
        ]

    assert keep("IVF16,Flat", "a") == keep("IVF16,Flat", "a")
    assert built == ["IVF16,Flat"]
    keep("IVF16,Flat", "b")
    keep("Flat", "b")
    assert built == ["IVF16,Flat", "IVF16,Flat", "Flat"]


def test_a_query_for_which_too_little_is_found_is_searched_exactly(
    passages: NDArray[np.float32], queries: NDArray[np.float32]
) -> None:
    index = faiss.index_factory(DIMENSIONS, "IVF64,Flat", faiss.METRIC_INNER_PRODUCT)
    index.train(np.array(passages))
    index.add(np.array(passages))
    found, _ = ApproximateIndex(index, passages, effort=1).nearest(queries, 1000)
    assert (found == nearest_passages(queries, passages, 1000)[0]).all()
    assert approximate.measure(index, passages, queries, "IVF64,Flat", 1.0).effort > 1  # that does not count as found


@pytest.mark.parametrize("factory", ["Nonsense", "PQ7", "IVF9999,Flat"])
def test_an_index_that_cannot_be_made_is_an_error_with_its_name(
    factory: str, passages: NDArray[np.float32], tmp_path: Path
) -> None:
    with pytest.raises(
        RankstillError, match=f"candidates.index: FAISS cannot make {factory}.*null for exact"
    ) as caught:
        approximate.build(passages, factory, tmp_path / "index.faiss")
    assert "\n" not in str(caught.value)


def test_the_index_serves_searching_and_what_is_measured_stays_exact(toy_first_stage: FirstStage) -> None:
    class Reversed:
        def nearest(
            self, queries: NDArray[np.float32], k: int, device: str, left_out: None
        ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
            return nearest_passages(-queries, toy_first_stage.vectors, k, device)

    approximately = toy_first_stage.exact()
    approximately.index = Reversed()  # type: ignore[assignment]
    asked = ["zzz qqq"]  # no word of it stands in the corpus, so that the vectors alone decide
    exact, by_index, again = (
        next(stage.search(asked, 5)).fused.tolist() and next(stage.search(asked, 60)).positions.tolist()
        for stage in (toy_first_stage, approximately, approximately.exact())
    )
    assert again == exact
    assert by_index != exact
    ((top, _),), ((same, _),) = (list(stage.top(asked, 5, lexical=False)) for stage in (toy_first_stage, approximately))
    assert top.tolist() == same.tolist()


WORDS = st.sampled_from(["run", "running", "cats", "the", "of", "ümlaut", "naïve", "42", "x", "don't"])


@given(
    st.lists(st.lists(WORDS, max_size=12).map(" ".join), min_size=1, max_size=12), st.integers(1, 5), st.integers(1, 9)
)
def test_the_word_index_is_the_one_that_bm25s_makes_in_memory(texts: list[str], block: int, at_once: int) -> None:
    import bm25s

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bm25, "_PASSAGES_A_BLOCK", block)
        patch.setattr(bm25, "_POSTINGS_AT_ONCE", at_once)
        index = BM25Index(texts, "english", 0.9, 0.4)
    terms = Analyzer("english")(texts)
    stock = bm25s.BM25(method="lucene", k1=0.9, b=0.4)
    if any(terms):
        stock.index(terms, show_progress=False)
    for word in {word for passage in terms for word in passage}:
        np.testing.assert_array_equal(index.scores(word), stock.get_scores([word]))


def test_a_kept_word_index_is_made_once_for_the_same_corpus_and_settings(
    toy_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, made = bm25.write_index, []
    monkeypatch.setattr(bm25, "write_index", lambda *given: made.append(given[2:]) or real(*given))
    corpus, part = toy_dataset.corpus, toy_dataset.corpus.select(range(10))
    (tmp_path / "unfinished-bm25").mkdir()
    (tmp_path / "unfinished-bm25" / "half").write_text("of a run that was killed")
    first = cached_index(corpus, CandidatesConfig(), tmp_path / "bm25")
    again = cached_index(corpus, CandidatesConfig(), tmp_path / "bm25")
    np.testing.assert_array_equal(first.scores("magma"), again.scores("magma"))
    assert len(made) == 1
    assert cached_index(part, CandidatesConfig(), tmp_path / "bm25").statistics.passages == 10
    assert cached_index(part, CandidatesConfig(k1=2.0), tmp_path / "bm25").statistics.k1 == 2.0
    assert len(made) == 3
    assert [each.name for each in tmp_path.iterdir()] == ["bm25"]


def test_a_corpus_without_a_word_has_an_index_that_matches_nothing() -> None:
    index = BM25Index(["", "the"], "english", 1.2, 0.75)
    assert index.scores("anything").tolist() == [0.0, 0.0]
    assert BM25Index([], "english", 1.2, 0.75).scores("anything").tolist() == []
