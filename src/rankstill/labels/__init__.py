"""Labels: the scores of query-passage pairs that the retriever learns, by the ranker or by a baseline in its place."""

from rankstill.labels.labelling import UnlabelledQuery, asked_queries, keep_order, label
from rankstill.labels.table import LabelledQuery, read_labels, write_labels

__all__ = ["LabelledQuery", "UnlabelledQuery", "asked_queries", "keep_order", "label", "read_labels", "write_labels"]
