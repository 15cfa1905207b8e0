"""The multi-vector retriever: a vector for each token, matched by late interaction."""

from rankstill.multi_vector.choosing import Choice, inverse_document_frequency
from rankstill.multi_vector.index import MeanMaxSim, TokenIndex
from rankstill.multi_vector.model import multi_vector_encoder
from rankstill.multi_vector.two_stage import TwoStage
from rankstill.retrieval.late_interaction import encode_queries

__all__ = [
    "Choice",
    "MeanMaxSim",
    "TokenIndex",
    "TwoStage",
    "encode_queries",
    "inverse_document_frequency",
    "multi_vector_encoder",
]
