"""The multi-vector retriever: a vector for each token, matched by late interaction."""

from rankstill.multi_vector.choosing import Choice, choose, inverse_document_frequency
from rankstill.multi_vector.index import MeanMaxSim, TokenIndex, encode_queries, mean_of
from rankstill.multi_vector.model import has_token_vectors, multi_vector_encoder
from rankstill.multi_vector.two_stage import TwoStage, make_two_stage

__all__ = [
    "Choice",
    "MeanMaxSim",
    "TokenIndex",
    "TwoStage",
    "choose",
    "encode_queries",
    "has_token_vectors",
    "inverse_document_frequency",
    "make_two_stage",
    "mean_of",
    "multi_vector_encoder",
]
