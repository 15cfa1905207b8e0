"""The hybrid's scores from a real LanceDB, in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rankstill.errors import DataError, ModelError
from rankstill.extras.export.stores import to_lancedb
from rankstill.extras.export.vectors import Batch
from rankstill.retrieval.bm25 import BM25Index
from rankstill.retrieval.hybrid import Hybrid
from rankstill.retrieval.hybrid.lance import lancedb_search, lancedb_text_index

lancedb = pytest.importorskip("lancedb", reason='needs pip install "rankstill[lancedb]"')

PASSAGES = (
    "Send it back within 30 days of delivery, with the slip.",
    "Parcels go out on weekdays before noon, parcels abroad on Monday.",
    "A refund reaches your card within five days of the return.",
    "Gift cards cannot be returned or refunded.",
    "Our stores open at nine, on Sundays at eleven; size S sells at 9.",
    "Returns of opened software are refused.",
)
IDS = tuple(f"p{number}" for number in range(len(PASSAGES)))
QUERY = "is a return at 9 refunded, or a return of size s"
DRAW = np.random.default_rng(3)


def hybrid(late: float = 0.0, k1: float = 1.2, language: str | None = "english") -> Hybrid:
    return Hybrid(dense=4.0, bm25=0.6, language=language, k1=k1, b=0.75, lists=50, late=late)


def unit(*shape: int) -> np.ndarray:
    vectors = DRAW.normal(size=shape).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def opened(batch: Batch, folder: Path, language: str | None = "english") -> Any:
    to_lancedb([batch], "passages", location=str(folder))
    table = lancedb.connect(str(folder)).open_table("passages")
    table.create_index("text", config=lancedb.index.FTS(**lancedb_text_index(language)))
    return table


def bm25(language: str | None = "english") -> np.ndarray:
    return BM25Index(PASSAGES, language, 1.2, 0.75).scores(QUERY)


@pytest.mark.parametrize("language", ["english", None])
def test_lancedb_gives_the_hybrids_scores(tmp_path: Path, language: str | None) -> None:
    vectors, asked = unit(6, 8), unit(8)
    table = opened(Batch(IDS, PASSAGES, vectors), tmp_path, language)
    found = lancedb_search(table, hybrid(language=language), QUERY, asked)
    expected = 4.0 * vectors @ asked + 0.6 * bm25(language)
    best = np.argsort(-expected)
    assert [row["id"] for row in found] == [IDS[position] for position in best]
    assert [row["text"] for row in found] == [PASSAGES[position] for position in best]
    assert [row["score"] for row in found] == pytest.approx(expected[best], abs=1e-4)


def test_scores_are_whole_however_few_passages_each_search_finds(tmp_path: Path) -> None:
    vectors, asked = unit(6, 8), unit(8)
    table = opened(Batch(IDS, PASSAGES, vectors), tmp_path)
    cosines, lexical = vectors @ asked, bm25()
    expected = dict(zip(IDS, 4.0 * cosines + 0.6 * lexical, strict=True))
    found = lancedb_search(table, hybrid(), QUERY, asked, depth=1)
    # The best passage of either search, with both of its scores.
    best = {IDS[int(scores.argmax())] for scores in (cosines, lexical)}
    assert {row["id"]: row["score"] for row in found} == pytest.approx(
        {each: expected[each] for each in best}, abs=1e-4
    )


def weighed() -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Token vectors of passages and of a query, whose tokens count very differently."""
    tokens = tuple(unit(count, 16) for count in (3, 1, 5, 2, 4, 2))
    return tokens, unit(4, 16) * np.array([[0.1], [5.0], [1.0], [0.3]], dtype=np.float32)


def mean_maxsim(asked: np.ndarray, tokens: tuple[np.ndarray, ...]) -> np.ndarray:
    maxsim = [sum(max(float(token @ own) for own in passage) for token in asked) for passage in tokens]
    return np.array(maxsim) / np.linalg.norm(asked, axis=1).sum()


def test_all_three_scores_are_added_and_tokens_count_by_the_length_of_their_vectors(tmp_path: Path) -> None:
    tokens, asked = weighed()
    vectors, single = unit(6, 8), unit(8)
    table = opened(Batch(IDS, PASSAGES, vectors, tokens), tmp_path)
    found = lancedb_search(table, hybrid(late=7.0), QUERY, single, asked)
    scores = 4.0 * vectors @ single + 0.6 * bm25() + 7.0 * mean_maxsim(asked, tokens)
    assert {row["id"]: row["score"] for row in found} == pytest.approx(dict(zip(IDS, scores, strict=True)), abs=1e-4)
    with pytest.raises(ModelError, match=r"tokens=late\.encode_query\(query\)"):
        lancedb_search(table, hybrid(late=7.0), QUERY, single)


def test_an_index_finds_and_the_scores_are_exact_all_the_same(tmp_path: Path) -> None:
    count = 300
    tokens = tuple(unit(3, 16) for _ in range(count))
    vectors, single = unit(count, 8), unit(8)
    ids, texts = tuple(map(str, range(count))), tuple(PASSAGES[row % 6] for row in range(count))
    table = opened(Batch(ids, texts, vectors, tokens), tmp_path)
    table.create_index("tokens", config=lancedb.index.IvfSq(distance_type="cosine", num_partitions=2))
    asked = weighed()[1]
    found = lancedb_search(table, hybrid(late=7.0), "", single, asked, depth=150)
    scores = dict(zip(ids, 4.0 * vectors @ single + 7.0 * mean_maxsim(asked, tokens), strict=True))
    assert len(found) == 10
    assert {row["id"]: row["score"] for row in found} == pytest.approx(
        {row["id"]: scores[row["id"]] for row in found}, abs=1e-4
    )


def test_weights_for_another_bm25_are_refused() -> None:
    with pytest.raises(DataError, match=r"b = 0\.75, the hybrid k1 = 0\.9 .* candidates\.k1=1\.2"):
        lancedb_search(None, hybrid(k1=0.9), QUERY, unit(8))
