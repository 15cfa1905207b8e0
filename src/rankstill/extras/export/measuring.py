"""What an export costs in quality and brings in speed: every form beside the model in torch, in one run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rankstill.compute.precision import autocast, fast_precision
from rankstill.evaluation import Comparison, EvaluationTable, evaluate_runs
from rankstill.evaluation.systems import nearest_run
from rankstill.extras.export.standalone import Retriever
from rankstill.extras.export.variants import VARIANTS
from rankstill.progress import progress
from rankstill.retrieval import encode as encode_texts
from rankstill.retrieval import nearest_passages
from rankstill.retrieval.dense import Embeddings
from rankstill.tables import markdown_rows

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from rankstill.data import Dataset

MEASURE = "nDCG@10"
_BATCH = 32
_TIMED, _ROUNDS = 64, 5
_SEARCHED = 100

Encode = Callable[[Sequence[str], str], Embeddings]
"""Texts and what they are, "query" or "document", to unit vectors. [texts, dimensions]"""
TORCH, TORCH_FAST = "torch", "torch, bfloat16"


@dataclass(frozen=True)
class ExportedVariant:
    """One form of the retriever.

    Args:
        name: "torch", or one of `VARIANTS`.
        megabytes: the size of its weights on disk.
        quality: the measure's mean; None where the dataset has nothing to measure with.
        comparison: with the model in torch; None for itself, too.
    """

    name: str
    megabytes: float
    agreement: Agreement
    speed: Speed
    quality: float | None
    comparison: Comparison | None


@dataclass(frozen=True)
class ExportTable:
    """Every form, the model in torch first."""

    queries: int
    passages: int
    corpus: int
    threads: int
    forms: tuple[ExportedVariant, ...]

    def to_json(self) -> dict[str, Any]:
        """Everything as plain dicts, lists and numbers."""
        return {"measure": MEASURE, **asdict(self)}

    def to_markdown(self) -> str:
        """The table as GitHub Markdown."""
        headings = ["form", "MB", MEASURE, "difference [95 % interval]", "cosine, passages (worst)", "cosine, queries"]
        headings += ["passages/s", "x torch (rounds)"]
        searched = "the whole corpus" if self.passages == self.corpus else "those that decide the measure"
        lines = [
            f"**What the export costs and brings** (n = {self.queries:,} queries)",
            "",
            *markdown_rows([headings, *map(_cells, self.forms)]),
            "",
            f"Searched: {self.passages:,} of {self.corpus:,} passages, {searched}. torch is sentence-transformers in "
            f"full precision; each form had {self.threads} thread(s) and encoded the same passages in turn.",
            "",
        ]
        return "\n".join(lines)


def _cells(form: ExportedVariant) -> list[str]:
    found = form.comparison
    near, fast = form.agreement, form.speed
    return [
        form.name,
        f"{form.megabytes:,.0f}",
        "not measured" if form.quality is None else f"{form.quality:.4f}",
        "" if found is None else found.difference_text(places=4),
        f"{near.passages:.4f} ({near.worst:.4f})",
        "" if near.queries is None else f"{near.queries:.4f}",
        f"{fast.per_second:,.0f}",
        f"{fast.ratio:.2f} ({fast.low:.2f} to {fast.high:.2f})",
    ]


@dataclass(frozen=True)
class Agreement:
    """How near a form's vectors are to the model's own.

    Args:
        passages: mean cosine.
        worst: lowest cosine of any passage.
        queries: mean cosine; None where there are no queries.
    """

    passages: float
    worst: float
    queries: float | None


@dataclass(frozen=True)
class Speed:
    """How fast a form encodes passages.

    Args:
        per_second: passages, median over rounds.
        ratio: to the model in torch, median over rounds; in each round all forms encode the same passages in turn.
        low: lowest ratio of any round.
    """

    per_second: float
    ratio: float
    low: float
    high: float


def sample_passages(
    dataset: Dataset, passages: Embeddings, queries: Embeddings, count: int, seed: int
) -> NDArray[np.int64]:
    """The passages that decide a measure: the relevant ones, then the best of each query in turn, then any.

    Args:
        passages: vectors of the corpus; may lie on disk. [passages, dimensions]
        queries: the queries of the test queries. [queries, dimensions]
        count: how many; more, if more are relevant.

    Returns:
        Positions in the corpus, ascending.
    """
    corpus = dataset.corpus
    chosen = {
        corpus.position(passage_id): None
        for query_id in dataset.test
        for passage_id, grade in dataset.qrels[query_id].items()
        if grade > 0
    }
    count = max(count, len(chosen))
    nearest, _ = nearest_passages(queries, passages, _SEARCHED, left_out=corpus.repeats)
    by_rank = nearest.T.ravel()
    others = np.random.default_rng(seed).permutation(len(corpus))
    for position in (*by_rank.tolist(), *others.tolist()):
        if len(chosen) >= count:
            break
        chosen.setdefault(position)
    return np.array(sorted(chosen), dtype=np.int64)


def _encode_all(encoders: Mapping[str, Encode], texts: Sequence[str], kind: str) -> dict[str, Embeddings]:
    """Every form's vectors of these texts, encoded longest first. name -> [texts, dimensions]"""
    order = sorted(range(len(texts)), key=lambda row: -len(texts[row]))
    made: dict[str, Embeddings] = {}
    for name, encode in encoders.items():
        parts = []
        with progress(f"encoding with {name}", len(texts)) as advance:
            for start in range(0, len(order), _BATCH):
                rows = order[start : start + _BATCH]
                parts.append(encode([texts[row] for row in rows], kind))
                advance(len(rows))
        if parts:
            made[name] = np.concatenate(parts)[np.argsort(order)]
    return made


def _quality(
    dataset: Dataset,
    sample: NDArray[np.int64],
    passages: Mapping[str, Embeddings],
    queries: Mapping[str, Embeddings],
    seed: int,
) -> EvaluationTable | None:
    """Each form's vectors measured on the sample, compared with the first's; None if there are no test queries."""
    if not dataset.test:
        return None
    runs = {
        name: nearest_run(vectors, queries[name], dataset.corpus, dataset.test, some=sample)
        for name, vectors in passages.items()
    }
    return evaluate_runs(runs, dataset.test_qrels(), next(iter(passages)), (MEASURE,), seed)


def _speeds(encoders: Mapping[str, Encode], texts: Sequence[str], seed: int) -> dict[str, Speed]:
    """Time every form on the same passages, in turn, in several rounds; the first is what the ratios are to."""
    draw = np.random.default_rng(seed).permutation(len(texts))[:_TIMED]
    timed = sorted((texts[int(row)] for row in draw), key=lambda text: -len(text))
    seconds: dict[str, list[float]] = {name: [] for name in encoders}
    with progress("timing", _ROUNDS * len(encoders)) as advance:
        for turn in range(_ROUNDS + 1):
            for name, encode in encoders.items():
                began = time.perf_counter()
                for start in range(0, len(timed), _BATCH):
                    encode(timed[start : start + _BATCH], "document")
                if turn:  # the first round only warms up
                    seconds[name].append(time.perf_counter() - began)
                    advance(1)
    reference = np.array(next(iter(seconds.values())))
    found = {}
    for name, rounds in seconds.items():
        taken = np.array(rounds)
        ratios = reference / taken
        middle = float(len(timed) / np.median(taken)), float(np.median(ratios))
        found[name] = Speed(*middle, float(ratios.min()), float(ratios.max()))
    return found


def measure_variants(
    model: SentenceTransformer,
    folder: Path,
    variants: Sequence[str],
    dataset: Dataset,
    vectors: Embeddings,
    passages: int,
    seed: int,
) -> ExportTable:
    """Quality, agreement, size and speed of what `write_variants` wrote.

    Args:
        vectors: the vectors of the whole corpus by the retriever, which say what passages matter. [passages, any
            dimensions]
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
    searched = encode_texts(model, asked, "query", "encoding queries", 128)
    model.truncate_dim = kept
    sample = sample_passages(dataset, vectors, searched, passages, seed)
    texts = dataset.corpus.texts(int(position) for position in sample)
    made, queries = _encode_all(encoders, texts, "document"), _encode_all(encoders, asked, "query")
    table, timed = _quality(dataset, sample, made, queries, seed), _speeds(encoders, texts, seed)
    forms = []
    for name in encoders:
        near = np.einsum("td,td->t", made[name], made[TORCH])
        system = table.system(name) if table else None
        compared = system.comparisons if system else None
        forms.append(
            ExportedVariant(
                name=name,
                megabytes=_size(folder, name, model),
                agreement=Agreement(
                    passages=float(near.mean()),
                    worst=float(near.min()),
                    queries=float(np.einsum("td,td->t", queries[name], queries[TORCH]).mean()) if queries else None,
                ),
                speed=timed[name],
                quality=system.values[MEASURE] if system else None,
                comparison=compared[MEASURE] if compared else None,
            )
        )
    return ExportTable(len(asked), len(sample), len(dataset.corpus), threads, tuple(forms))


def _torch(model: SentenceTransformer, *, fast: bool) -> Encode:
    def encode_texts(texts: Sequence[str], kind: str) -> Embeddings:
        way = model.encode_query if kind == "query" else model.encode_document
        with autocast("cpu") if fast else nullcontext():
            return np.asarray(
                way(list(texts), batch_size=len(texts), show_progress_bar=False, normalize_embeddings=True)
            )

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
