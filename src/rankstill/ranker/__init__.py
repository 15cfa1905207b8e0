"""The ranker: learns the teacher's orders, then labels for free."""

from rankstill.ranker.model import Ranker, ScoredPassage
from rankstill.ranker.training import RankedList, train_ranker

__all__ = ["RankedList", "Ranker", "ScoredPassage", "train_ranker"]
