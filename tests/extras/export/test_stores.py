"""Vector databases, real ones: Qdrant's and LanceDB's in this process, PostgreSQL's server from a package."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rankstill.errors import DataError, RankstillError
from rankstill.extras.export.stores import plaid_search, to_lancedb, to_pgvector, to_plaid, to_qdrant
from rankstill.extras.export.stores.qdrant import qdrant_id
from rankstill.extras.export.vectors import Batch


def made_up(count: int, dimensions: int = 8, start: int = 0) -> list[Batch]:
    """Passages with random unit vectors, in batches of seven; ids that a database must not trip over."""
    draw = np.random.default_rng(start)
    vectors = draw.normal(size=(count, dimensions)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = [f"p'{number}; DROP" for number in range(start, start + count)]
    words = random.Random(start)
    texts = [f'"{words.random()}"\t火\n' for _ in ids]
    return [
        Batch(tuple(ids[row : row + 7]), tuple(texts[row : row + 7]), vectors[row : row + 7])
        for row in range(0, count, 7)
    ]


FIRST, AGAIN = made_up(20), made_up(20)
AGAIN[2] = made_up(6, start=14)[0]  # the last six ids with other vectors and texts
EVERY_ID = {own for batch in FIRST for own in batch.ids}


def test_qdrant_finds_a_passage_by_its_vector_and_takes_it_again(tmp_path: Path) -> None:
    qdrant = pytest.importorskip("qdrant_client", reason='needs pip install "rankstill[qdrant]"')
    assert to_qdrant(FIRST, "passages", location=str(tmp_path)) == 20
    assert to_qdrant(AGAIN, "passages", location=str(tmp_path)) == 20
    client = qdrant.QdrantClient(path=str(tmp_path))
    assert client.count("passages").count == 20
    wanted = AGAIN[2]
    found = client.query_points("passages", query=wanted.vectors[3].tolist(), limit=1).points[0]
    client.close()
    assert found.id == qdrant_id(wanted.ids[3])
    assert found.payload == {"id": wanted.ids[3], "text": wanted.texts[3]}
    assert found.score == pytest.approx(1.0, abs=1e-5)
    with pytest.raises(DataError, match="collection passages: holds other vectors"):
        to_qdrant(made_up(3, dimensions=5), "passages", location=str(tmp_path))


def test_qdrant_scores_token_vectors_by_the_same_maxsim(tmp_path: Path) -> None:
    qdrant = pytest.importorskip("qdrant_client", reason='needs pip install "rankstill[qdrant]"')
    draw = np.random.default_rng(2)
    tokens = [draw.normal(size=(count, 8)).astype(np.float32) for count in (3, 1, 5)]
    batch = Batch(("a", "b", "c"), ("one", "two", "three"), np.eye(3, dtype=np.float32), tuple(tokens))
    assert to_qdrant([batch], "tokens", location=str(tmp_path)) == 3
    asked = draw.normal(size=(4, 8)).astype(np.float32)
    client = qdrant.QdrantClient(path=str(tmp_path))
    points = client.query_points("tokens", query=asked.tolist(), using="tokens", limit=3).points
    client.close()
    found = {point.payload["id"]: point.score for point in points}
    expected = {own: (asked @ each.T).max(axis=1).sum() for own, each in zip(batch.ids, tokens, strict=True)}
    assert found == pytest.approx(expected, abs=1e-4)
    with pytest.raises(DataError, match="collection tokens: holds other vectors"):
        to_qdrant(made_up(3), "tokens", location=str(tmp_path))


def test_lancedb_finds_a_passage_by_its_vector_and_takes_it_again(tmp_path: Path) -> None:
    lancedb = pytest.importorskip("lancedb", reason='needs pip install "rankstill[lancedb]"')
    assert to_lancedb(FIRST, "passages", location=str(tmp_path)) == 20
    assert to_lancedb(AGAIN, "passages", location=str(tmp_path)) == 20
    table = lancedb.connect(str(tmp_path)).open_table("passages")
    assert table.count_rows() == 20
    wanted = AGAIN[2]
    found = table.search(wanted.vectors[3]).distance_type("cosine").limit(1).to_list()[0]
    assert (found["id"], found["text"]) == (wanted.ids[3], wanted.texts[3])
    assert found["_distance"] == pytest.approx(0.0, abs=1e-5)
    with pytest.raises(DataError, match=r"table passages: .*schema"):
        to_lancedb(made_up(3, dimensions=5), "passages", location=str(tmp_path))


def test_lancedb_scores_token_vectors_by_the_same_maxsim(tmp_path: Path) -> None:
    lancedb = pytest.importorskip("lancedb", reason='needs pip install "rankstill[lancedb]"')
    draw = np.random.default_rng(2)
    tokens = [draw.normal(size=(count, 8)).astype(np.float32) for count in (3, 1, 5)]
    batch = Batch(("a", "b", "c"), ("one", "two", "three"), np.eye(3, dtype=np.float32), tuple(tokens))
    assert to_lancedb([batch], "tokens", location=str(tmp_path)) == 3
    assert to_lancedb([batch], "tokens", location=str(tmp_path)) == 3
    asked = draw.normal(size=(4, 8)).astype(np.float32)
    table = lancedb.connect(str(tmp_path)).open_table("tokens")
    rows = table.search(asked, vector_column_name="tokens").distance_type("dot").limit(9).to_list()
    expected = {own: 4 - (asked @ each.T).max(axis=1).sum() for own, each in zip(batch.ids, tokens, strict=True)}
    assert {row["id"]: row["_distance"] for row in rows} == pytest.approx(expected, abs=1e-4)
    with pytest.raises(DataError, match=r"table tokens: .*schema"):
        to_lancedb(made_up(3), "tokens", location=str(tmp_path))


def test_plaid_finds_what_exact_maxsim_finds_and_is_replaced_as_a_whole(tmp_path: Path) -> None:
    pytest.importorskip("fast_plaid", reason="needs fast-plaid and its torch: make test-plaid")
    from fast_plaid import filtering

    draw = np.random.default_rng(2)
    tokens = [draw.normal(size=(count, 32)) for count in draw.integers(1, 30, size=300)]
    tokens = [(each / np.linalg.norm(each, axis=1, keepdims=True)).astype(np.float32) for each in tokens]
    ids = tuple(f"p'{number}; DROP" for number in range(300))
    batches = [
        Batch(ids[row : row + 64], ids[row : row + 64], np.eye(1, dtype=np.float32), tuple(tokens[row : row + 64]))
        for row in range(0, 300, 64)
    ]
    assert to_plaid(batches[:1], "tokens", location=str(tmp_path)) == 64
    assert to_plaid(batches, "tokens", location=str(tmp_path)) == 300
    asked = [tokens[row][:6] * draw.uniform(0.2, 3.0, size=(len(tokens[row][:6]), 1)) for row in range(40)]
    asked = [each.astype(np.float32) for each in asked]
    found = plaid_search(tmp_path / "tokens", asked, 5)
    exact = [np.argsort([-(query @ each.T).max(axis=1).sum() for each in tokens])[:5] for query in asked]
    assert np.mean([np.isin(best, near).mean() for best, near in zip(exact, found, strict=True)]) > 0.7
    held = filtering.get(str(tmp_path / "tokens"), subset=found[0].tolist())
    assert [row["id"] for row in held] == [ids[position] for position in found[0]]
    with pytest.raises(DataError, match="no passages"):
        to_plaid([], "tokens", location=str(tmp_path))


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[str]:
    """A server with pgvector, for this test alone: its address."""
    pgserver = pytest.importorskip("pgserver", reason="needs pip install pgserver: a PostgreSQL with pgvector")
    server = pgserver.get_server(tmp_path / "data")
    yield server.get_uri()
    server.cleanup()


def test_pgvector_finds_a_passage_by_its_vector_and_takes_it_again(postgres: str) -> None:
    asyncpg = pytest.importorskip("asyncpg", reason='needs pip install "rankstill[pgvector]"')
    table = 'my "passages"'
    assert to_pgvector(FIRST, table, location=postgres) == 20
    assert to_pgvector(AGAIN, table, location=postgres) == 20
    wanted = AGAIN[2]
    near = "[" + ",".join(map(str, wanted.vectors[3])) + "]"

    async def asked(question: str, value: str) -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(postgres)
        try:
            return [tuple(row) for row in await connection.fetch(question, value)]
        finally:
            await connection.close()

    by_cosine = 'SELECT id, text, embedding <=> $1::text::vector AS away FROM "my ""passages""" ORDER BY away'
    rows = asyncio.run(asked(by_cosine, near))
    indexes = asyncio.run(asked("SELECT indexdef FROM pg_indexes WHERE tablename = $1", table))
    assert {own for own, _, _ in rows} == EVERY_ID
    assert rows[0][:2] == (wanted.ids[3], wanted.texts[3])
    assert rows[0][2] == pytest.approx(0.0, abs=1e-5)
    assert any("hnsw" in definition for (definition,) in indexes)
    with pytest.raises(DataError, match=r"no column embedding of type vector\(5\)"):
        to_pgvector(made_up(3, dimensions=5), table, location=postgres)


@pytest.mark.parametrize("location", ["some/folder", "postgresql://127.0.0.1:1/nowhere"])
def test_a_postgres_that_cannot_be_reached_is_said_in_a_line(location: str) -> None:
    pytest.importorskip("asyncpg", reason='needs pip install "rankstill[pgvector]"')
    with pytest.raises(DataError, match=r"^PostgreSQL: cannot be reached \(.+\)\. Check --location"):
        to_pgvector(FIRST, "passages", location=location)


@pytest.mark.filterwarnings("ignore:Failed to obtain server version")
def test_a_qdrant_that_cannot_be_reached_is_said_in_a_line() -> None:
    pytest.importorskip("qdrant_client", reason='needs pip install "rankstill[qdrant]"')
    with pytest.raises(DataError, match=r"^Qdrant: .+refused.+Check --location http://127\.0\.0\.1:1 "):
        to_qdrant(FIRST, "passages", location="http://127.0.0.1:1")


def test_a_missing_package_is_named_with_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lancedb", None)
    with pytest.raises(RankstillError, match=r'lancedb, which is not installed: pip install "rankstill\[lancedb\]"'):
        to_lancedb(FIRST, "passages", location="nowhere")
