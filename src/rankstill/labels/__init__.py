"""Labels: the ranker's scores of as many query-passage pairs as we like."""

from rankstill.labels.labelling import UnlabelledQuery, asked_queries, keep_order, label
from rankstill.labels.table import LabelledQuery, read_labels, write_labels

__all__ = ["LabelledQuery", "UnlabelledQuery", "asked_queries", "keep_order", "label", "read_labels", "write_labels"]
