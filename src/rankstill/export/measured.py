"""Measuring what was written: every form, read back from disk, beside the model in torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rankstill.candidates import encode
from rankstill.compute.precision import autocast, fast_precision
from rankstill.export.measuring import (
    MEASURE,
    Encode,
    agreement,
    encode_all,
    quality,
    sample_passages,
    speeds,
)
from rankstill.export.search import Vectors
from rankstill.export.standalone import Retriever
from rankstill.export.table import ExportedVariant, ExportTable
from rankstill.export.variants import VARIANTS

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from rankstill.datasets import Dataset

TORCH, TORCH_FAST = "torch", "torch, bfloat16"


def measure_variants(
    model: SentenceTransformer,
    folder: Path,
    variants: Sequence[str],
    dataset: Dataset,
    vectors: Vectors,
    passages: int,
    seed: int,
) -> ExportTable:
    """Quality, agreement, size and speed of what `write_variants` wrote.

    Args:
        vectors: the vectors of the whole corpus by the retriever, which say what passages matter. [passages, any
            dimensions]
        passages: how many every form encodes.
    """
    import torch

    threads = torch.get_num_threads()
    model.to("cpu")
    encoders = {TORCH: _torch(model, fast=False)}
    if fast_precision("cpu"):
        encoders[TORCH_FAST] = _torch(model, fast=True)
    for name in variants:
        encoders[name] = _exported(folder, name, threads)
    asked = dataset.texts_of(dataset.test)
    kept, model.truncate_dim = model.truncate_dim, None
    searched = encode(model, asked, "query", "encoding queries", 128)
    model.truncate_dim = kept
    sample = sample_passages(dataset, vectors, searched, passages, seed)
    texts = dataset.corpus.texts(int(position) for position in sample)
    made, queries = encode_all(encoders, texts, "document"), encode_all(encoders, asked, "query")
    table, timed = quality(dataset, sample, made, queries, seed), speeds(encoders, texts, seed)
    forms = []
    for name in encoders:
        system = table.system(name) if table else None
        compared = system.comparisons if system else None
        forms.append(
            ExportedVariant(
                name=name,
                megabytes=_size(folder, name, model),
                agreement=agreement((made[name], made[TORCH]), (queries[name], queries[TORCH]) if queries else None),
                speed=timed[name],
                quality=system.values[MEASURE] if system else None,
                comparison=compared[MEASURE] if compared else None,
            )
        )
    return ExportTable(len(asked), len(sample), len(dataset.corpus), threads, tuple(forms))


def _torch(model: SentenceTransformer, *, fast: bool) -> Encode:
    def encode_texts(texts: Sequence[str], kind: str) -> Vectors:
        way = model.encode_query if kind == "query" else model.encode_document
        arguments = {"batch_size": len(texts), "show_progress_bar": False, "normalize_embeddings": True}
        if not fast:
            return np.asarray(way(list(texts), **arguments))
        with autocast("cpu"):
            return np.asarray(way(list(texts), **arguments))

    return encode_texts


def _exported(folder: Path, variant: str, threads: int) -> Encode:
    retriever = Retriever(folder, variant, threads)
    ways = {"query": retriever.encode_queries, "document": retriever.encode_documents}
    return lambda texts, kind: ways[kind](texts)


def _size(folder: Path, name: str, model: SentenceTransformer) -> float:
    """Megabytes of weights; for torch, of tensors as they are saved, shared ones once."""
    if name in (TORCH, TORCH_FAST):
        return float(sum(tensor.nbytes for tensor in model.parameters())) / 1e6
    file = folder / VARIANTS[name]
    return sum(path.stat().st_size for path in (file, file.with_suffix(".bin")) if path.is_file()) / 1e6
