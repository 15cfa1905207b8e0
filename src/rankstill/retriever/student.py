"""How a retriever in training embeds and compares texts. This file has the retriever with one vector per text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rankstill.retrieval import encode

Task = Literal["query", "document"]


@dataclass(frozen=True)
class ValidationList:
    """A ranking that did not train the retriever; it chooses how much of the training is kept.

    Args:
        passages: The passages' texts in the LLM's order, best first.
        known: How many leading passages the LLM itself placed; the rest is an unordered tail.
    """

    query: str
    passages: Sequence[str]
    known: int


@dataclass(frozen=True)
class Student:
    """How a kind of retriever is trained and judged.

    Args:
        embed: from the model, tokens and the kind of text to vectors. [texts, ...]
        compare: from vectors of queries and of passages to similarities. [queries, passages]
        score: from the model and rankings to the similarities of each ranking's query with its passages. Each
            [passages]
        trainer: gives the library's trainer of such a model, and the class of its arguments.
    """

    embed: Callable[[nn.Module, dict[str, Any], Task], Tensor]
    compare: Callable[[Tensor, Tensor], Tensor]
    score: Callable[[Any, Sequence[ValidationList]], list[NDArray[np.float32]]]
    trainer: Callable[[], tuple[Any, Any]]


def _unit_vectors(model: nn.Module, tokens: dict[str, Any], _: Task) -> Tensor:
    """[texts, dimensions]"""
    vectors: Tensor = model(tokens)["sentence_embedding"]
    return nn.functional.normalize(vectors.to(torch.promote_types(vectors.dtype, torch.float32)), dim=1)


def _cosines(model: Any, lists: Sequence[ValidationList]) -> list[NDArray[np.float32]]:
    passages = encode(model, [text for each in lists for text in each.passages], "document", "encoding held-out lists")
    queries = encode(model, [each.query for each in lists], "query", "encoding held-out queries", 128)
    ends = np.cumsum([len(each.passages) for each in lists])[:-1]
    return [part @ query for part, query in zip(np.split(passages, ends), queries, strict=True)]


def _trainer() -> tuple[Any, Any]:
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments

    return SentenceTransformerTrainer, SentenceTransformerTrainingArguments


BI_ENCODER = Student(_unit_vectors, lambda queries, passages: queries @ passages.T, _cosines, _trainer)
"""One vector a text, compared by cosine."""
