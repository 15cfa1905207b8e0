"""The first stage: dense retrieval, BM25, and their fusion."""

from rankstill.candidates.first_stage import FEATURES, Candidates, FirstStage, PassageVectors, encode_corpus
from rankstill.candidates.scorer import PassageScorer

__all__ = ["FEATURES", "Candidates", "FirstStage", "PassageScorer", "PassageVectors", "encode_corpus"]
