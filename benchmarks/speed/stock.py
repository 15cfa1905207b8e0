"""The peer: the stock trainers of sentence-transformers with their defaults, as the documentation shows them."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.speed.data import MINILM

from rankstill.models import resolve_model

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder, MultiVectorEncoder, SentenceTransformer

# Neither makes it faster or slower to speak of.
_QUIET = {"use_cpu": True, "save_strategy": "no", "report_to": "none", "disable_tqdm": True}


def stock_ranker(queries: Sequence[str], passages: Sequence[Sequence[str]]) -> CrossEncoder:
    """A cross-encoder from MiniLM's weights, by CrossEncoderTrainer and ListMLELoss.

    Its default batch of 8 lists at once takes more than 23 GB in pairs of 512 tokens: here it is 4 times 2.

    Args:
        queries: their texts.
        passages: of each query, best first.
    """
    from datasets import Dataset as Rows
    from sentence_transformers import CrossEncoder
    from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments
    from sentence_transformers.cross_encoder.losses import ListMLELoss

    model = CrossEncoder(resolve_model(MINILM), num_labels=1, device="cpu")
    rows = Rows.from_dict(
        {
            "query": list(queries),
            "docs": [list(each) for each in passages],
            "labels": [list(range(len(each), 0, -1)) for each in passages],
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        args = CrossEncoderTrainingArguments(
            folder, num_train_epochs=1, per_device_train_batch_size=2, gradient_accumulation_steps=4, **_QUIET
        )
        CrossEncoderTrainer(model=model, args=args, train_dataset=rows, loss=ListMLELoss(model)).train()
    return model


def stock_retriever(
    queries: Sequence[str], passages: Sequence[Sequence[str]], scores: Sequence[Sequence[float]]
) -> SentenceTransformer:
    """MiniLM, by SentenceTransformerTrainer and DistillKLDivLoss.

    Args:
        queries: their texts.
        passages: of each query, as many for all.
        scores: of each passage.
    """
    from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
    from sentence_transformers import SentenceTransformerTrainingArguments as Arguments
    from sentence_transformers.losses import DistillKLDivLoss

    model = SentenceTransformer(resolve_model(MINILM), device="cpu")
    rows = _rows(queries, passages, scores)
    with tempfile.TemporaryDirectory() as folder:
        args = Arguments(folder, num_train_epochs=1, **_QUIET)
        SentenceTransformerTrainer(model=model, args=args, train_dataset=rows, loss=DistillKLDivLoss(model)).train()
    return model


def stock_multi_vector(
    model: MultiVectorEncoder,
    queries: Sequence[str],
    passages: Sequence[Sequence[str]],
    scores: Sequence[Sequence[float]],
) -> MultiVectorEncoder:
    """A multi-vector retriever, by MultiVectorEncoderTrainer and MultiVectorDistillKLDivLoss.

    Args:
        model: is trained in place.
        queries: their texts.
        passages: of each query, as many for all.
        scores: of each passage.
    """
    from sentence_transformers import MultiVectorEncoderTrainer
    from sentence_transformers import MultiVectorEncoderTrainingArguments as Arguments
    from sentence_transformers.multi_vector_encoder.losses import MultiVectorDistillKLDivLoss

    rows = _rows(queries, passages, scores)
    routes = {name: "query" if name == "query" else "document" for name in rows.column_names if name != "label"}
    with tempfile.TemporaryDirectory() as folder:
        args = Arguments(folder, num_train_epochs=1, router_mapping=routes, **_QUIET)
        loss = MultiVectorDistillKLDivLoss(model)
        MultiVectorEncoderTrainer(model=model, args=args, train_dataset=rows, loss=loss).train()
    return model


def _rows(queries: Sequence[str], passages: Sequence[Sequence[str]], scores: Sequence[Sequence[float]]) -> Any:
    from datasets import Dataset as Rows

    return Rows.from_dict(
        {
            "query": list(queries),
            **{f"passage{rank}": list(column) for rank, column in enumerate(zip(*passages, strict=True))},
            "label": [list(map(float, each)) for each in scores],
        }
    )
