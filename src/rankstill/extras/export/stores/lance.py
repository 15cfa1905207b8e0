"""Export into LanceDB: tables in a folder or an object store, read in the process that searches them."""

from __future__ import annotations

from collections.abc import Iterable

from rankstill.errors import DataError
from rankstill.extras.export.vectors import Batch, arrow_table
from rankstill.packages import required


def to_lancedb(batches: Iterable[Batch], table: str, *, location: str) -> int:
    """Put passages into a table with the columns `id`, `text` and `vector`, which is made if it is not there.

    Token vectors go into a further column, `tokens`, LanceDB's multi-vector column. Search it by
    `distance_type("dot")`, which is MaxSim of dot products: a vector of a query is as long as it weighs, and the cosine
    would take its weight away.

    Args:
        location: a folder or a URI that LanceDB knows, such as s3://bucket/path.

    Raises:
        RankstillError: lancedb is not installed.
        DataError: the table has other columns or vectors of another size, or its name cannot be one.
    """
    database = required("lancedb", "lancedb").connect(location)
    opened, sent = None, 0
    for batch in batches:
        rows = arrow_table(batch)
        if opened is None:
            try:
                opened = database.create_table(table, schema=rows.schema, exist_ok=True)
            except ValueError as error:  # among others, it is there with another schema
                raise DataError(f"LanceDB table {table}: {error}. Name another table.") from error
        opened.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(rows)
        sent += len(batch.ids)
    return sent
