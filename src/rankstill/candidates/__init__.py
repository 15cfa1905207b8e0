"""The first stage: dense retrieval, BM25, and their fusion."""

from rankstill.candidates.dense import encode
from rankstill.candidates.first_stage import (
    FEATURES,
    Candidates,
    FirstStage,
    PassageVectors,
    Sentence,
    encode_corpus,
    encode_passages,
)
from rankstill.candidates.scorer import PassageScorer
from rankstill.candidates.table import read_candidates, write_candidates

__all__ = [
    "FEATURES",
    "Candidates",
    "FirstStage",
    "PassageScorer",
    "PassageVectors",
    "Sentence",
    "encode",
    "encode_corpus",
    "encode_passages",
    "read_candidates",
    "write_candidates",
]
