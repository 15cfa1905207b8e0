"""The retriever: a bi-encoder distilled from the ranker's labels."""

from rankstill.retriever.adapter import train_adapter, with_adapter
from rankstill.retriever.training import load_retriever, train_retriever

__all__ = ["load_retriever", "train_adapter", "train_retriever", "with_adapter"]
