"""The ranker: it learns the teacher's orders, and then labels passages without an LLM call."""

from rankstill.ranker.model import Ranker, ScoredPassage
from rankstill.ranker.training import RankedList, train_ranker

__all__ = ["RankedList", "Ranker", "ScoredPassage", "train_ranker"]
