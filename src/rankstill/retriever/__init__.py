"""The retriever: a bi-encoder distilled from the ranker's labels."""

from rankstill.retriever.blending import Blend
from rankstill.retriever.student import ValidationList
from rankstill.retriever.training import USUAL_TEMPERATURE, TrainingData, load_retriever, train_retriever

__all__ = ["USUAL_TEMPERATURE", "Blend", "TrainingData", "ValidationList", "load_retriever", "train_retriever"]
