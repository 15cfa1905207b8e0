"""Labels: the ranker's scores of as many query-passage pairs as we like."""

from rankstill.labels.labelling import Unlabelled, keep_order, label
from rankstill.labels.pseudo import PseudoQuery, pseudo_queries, query_resemblance
from rankstill.labels.queries import asked_queries, sentences_as_queries
from rankstill.labels.table import LabelledQuery, read_labels, write_labels

__all__ = [
    "LabelledQuery",
    "PseudoQuery",
    "Unlabelled",
    "asked_queries",
    "keep_order",
    "label",
    "pseudo_queries",
    "query_resemblance",
    "read_labels",
    "sentences_as_queries",
    "write_labels",
]
