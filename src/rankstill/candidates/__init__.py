"""The first stage: dense retrieval, BM25, and their fusion."""

from rankstill.candidates.dense import encode, encode_passages, load_vectors
from rankstill.candidates.first_stage import FEATURES, LATE, Candidates, FirstStage, read_candidates, write_candidates
from rankstill.candidates.scorer import PassageScorer
from rankstill.candidates.search import nearest_passages

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
