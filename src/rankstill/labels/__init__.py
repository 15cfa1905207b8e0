"""Labels: the ranker's scores of query-passage pairs, which the retriever learns from."""

from rankstill.labels.labelling import UnlabelledQuery, keep_order, label
from rankstill.labels.queries import asked_queries
from rankstill.labels.table import LabelledQuery, read_labels, write_labels

__all__ = [
    "LabelledQuery",
    "UnlabelledQuery",
    "asked_queries",
    "keep_order",
    "label",
    "read_labels",
    "write_labels",
]
