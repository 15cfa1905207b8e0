"""The ranker: it learns the teacher's orders, and then labels passages without an LLM call."""

from rankstill.ranker.model import Ranker, RerankedPassage
from rankstill.ranker.prior import Prior, fit_prior
from rankstill.ranker.training import RankedList, refit_prior, train_ranker

__all__ = ["Prior", "RankedList", "Ranker", "RerankedPassage", "fit_prior", "refit_prior", "train_ranker"]
