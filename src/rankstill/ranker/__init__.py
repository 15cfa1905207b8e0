"""The ranker: learns the teacher's orders, then labels for free."""

from rankstill.ranker.model import Ranker, ScoredPassage
from rankstill.ranker.prior import Prior, fit_prior
from rankstill.ranker.training import RankedList, refit_prior, train_ranker

__all__ = ["Prior", "RankedList", "Ranker", "ScoredPassage", "fit_prior", "refit_prior", "train_ranker"]
