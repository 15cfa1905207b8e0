"""The retriever: a bi-encoder distilled from the ranker's labels."""

from rankstill.retriever.blending import Blend
from rankstill.retriever.head import carry_through_head
from rankstill.retriever.head_training import put_head_on
from rankstill.retriever.held_out import HeldOut
from rankstill.retriever.student import JudgingList
from rankstill.retriever.training import Lessons, load_retriever, train_retriever

__all__ = [
    "Blend",
    "HeldOut",
    "JudgingList",
    "Lessons",
    "carry_through_head",
    "load_retriever",
    "put_head_on",
    "train_retriever",
]
