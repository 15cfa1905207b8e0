"""The retriever: a bi-encoder distilled from the ranker's labels."""

from rankstill.retriever.blending import Blend
from rankstill.retriever.student import JudgingList
from rankstill.retriever.training import USUAL_TEMPERATURE, Lessons, load_retriever, train_retriever

__all__ = ["USUAL_TEMPERATURE", "Blend", "JudgingList", "Lessons", "load_retriever", "train_retriever"]
