"""Export into PostgreSQL with the extension pgvector."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from rankstill.errors import DataError
from rankstill.extras.export.vectors import Batch
from rankstill.packages import required

_MOST_INDEXED = 2000
"""Dimensions that pgvector's indexes take."""


def to_pgvector(batches: Iterable[Batch], table: str, *, location: str = "") -> int:
    """Put passages into a table (`id` text primary key, `text`, `embedding` vector), made if it is not there.

    It gets an HNSW index for cosines, unless the vectors have more than 2,000 dimensions. Each batch is one
    transaction, so that a run that breaks off can be run again.

    Args:
        table: its name, in the schema that comes first on the search path.
        location: how to connect: a URI, postgresql://user@host:port/database. What it leaves out is read from the
            environment (PGHOST, PGUSER, PGPASSWORD, ...) or the password file; passwords belong there.

    Raises:
        RankstillError: asyncpg or pgvector is not installed.
        DataError: the database cannot be reached, or the table holds vectors of another size.
    """
    asyncpg = required("asyncpg", "pgvector")
    return asyncio.run(_put(asyncpg, batches, table, location))


async def _put(asyncpg: Any, batches: Iterable[Batch], table: str, location: str) -> int:
    try:
        connection = await asyncpg.connect(location or None)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise DataError(
            f"PostgreSQL: cannot be reached ({error}). Check --location, PGHOST, PGUSER and PGPASSWORD."
        ) from error
    sent = dimensions = 0
    try:
        await connection.execute("SET client_min_messages = warning")
        await connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        await required("pgvector.asyncpg", "pgvector").register_vector(connection)
        for batch in batches:
            if not sent:
                dimensions = batch.vectors.shape[1]
                await _prepare(connection, table, dimensions)
            await _upsert(connection, table, batch)
            sent += len(batch.ids)
        if sent and dimensions <= _MOST_INDEXED:
            index = quoted(f"{table}_embedding_idx"[:63])
            await connection.execute(
                f"CREATE INDEX IF NOT EXISTS {index} ON {quoted(table)} USING hnsw (embedding vector_cosine_ops)"
            )
    finally:
        await connection.close()
    return sent


def quoted(name: str) -> str:
    """A name as SQL takes it, whatever characters it has."""
    return '"' + name.replace('"', '""').replace("\0", "") + '"'


async def _prepare(connection: Any, table: str, dimensions: int) -> None:
    await connection.execute(
        f"CREATE TABLE IF NOT EXISTS {quoted(table)} "
        f"(id text PRIMARY KEY, text text NOT NULL, embedding vector({dimensions}) NOT NULL)"
    )
    held = await connection.fetchval(
        "SELECT atttypmod FROM pg_attribute WHERE attrelid = to_regclass($1) AND attname = 'embedding'", quoted(table)
    )
    if held != dimensions:
        raise DataError(
            f"PostgreSQL table {table}: has no column embedding of type vector({dimensions}). Name another table."
        )


async def _upsert(connection: Any, table: str, batch: Batch) -> None:
    """COPY is many times as fast as INSERT; what is there already goes by way of a table of its own."""
    async with connection.transaction():
        await connection.execute(f"CREATE TEMP TABLE arriving (LIKE {quoted(table)}) ON COMMIT DROP")
        texts = (text.replace("\0", "") for text in batch.texts)  # PostgreSQL's text holds no zero byte
        await connection.copy_records_to_table(
            "arriving",
            records=list(zip(batch.ids, texts, batch.vectors, strict=True)),
            columns=["id", "text", "embedding"],
        )
        await connection.execute(
            f"INSERT INTO {quoted(table)} SELECT id, text, embedding FROM arriving "
            "ON CONFLICT (id) DO UPDATE SET text = EXCLUDED.text, embedding = EXCLUDED.embedding"
        )
