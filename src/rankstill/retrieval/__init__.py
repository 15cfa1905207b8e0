"""The first stage: dense retrieval, BM25, and their fusion."""

from rankstill.retrieval.dense import encode, encode_passages, load_vectors
from rankstill.retrieval.first_stage import FEATURES, LATE, Candidates, FirstStage, read_candidates, write_candidates
from rankstill.retrieval.scorer import PassageScorer
from rankstill.retrieval.search import nearest_passages

__all__ = [
    "FEATURES",
    "LATE",
    "Candidates",
    "FirstStage",
    "PassageScorer",
    "encode",
    "encode_passages",
    "load_vectors",
    "nearest_passages",
    "read_candidates",
    "write_candidates",
]
