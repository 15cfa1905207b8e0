"""Vector databases: a corpus with its vectors is put into one, a batch at a time.

Each function can be run again: a passage that is there already is replaced, by its id. None deletes anything;
an index of PLAID alone is replaced as a whole.
"""

from rankstill.extras.export.stores.lance import to_lancedb
from rankstill.extras.export.stores.plaid import plaid_search, to_plaid
from rankstill.extras.export.stores.postgres import to_pgvector
from rankstill.extras.export.stores.qdrant import to_qdrant

__all__ = ["plaid_search", "to_lancedb", "to_pgvector", "to_plaid", "to_qdrant"]
