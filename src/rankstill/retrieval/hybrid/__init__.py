"""The hybrid: dense retrieval, BM25 and late interaction, added with weights that the LLM's rankings chose."""

from rankstill.retrieval.hybrid.searcher import HybridSearcher
from rankstill.retrieval.hybrid.weights import Hybrid, fit_hybrid

__all__ = ["Hybrid", "HybridSearcher", "fit_hybrid"]
