"""Labels -> retriever, second part: train the head against the whole corpus at every step.

Training an encoder sees a few dozen passages a step. The head works on vectors that are computed once, so that a step
can compare hundreds of queries with every passage in a fraction of a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from rankstill.candidates import encode
from rankstill.compute.precision import autocast
from rankstill.labels.table import LabelledQuery
from rankstill.progress import progress
from rankstill.retriever.adapter import PassageAdapter
from rankstill.retriever.head import Encoded, Head, with_head
from rankstill.retriever.loss import UNLABELLED, kl_to_ranker
from rankstill.retriever.tokens import TokenVectors, token_counts

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from rankstill.candidates import FirstStage
    from rankstill.config import HeadConfig
    from rankstill.datasets import Corpus

PASSAGES_A_STEP = 8192
"""Of a larger corpus, a step compares with a sample of this size: its queries' best passages, and others at random."""
_BEST_OF_A_QUERY = 8
_LOG_EVERY = 10


def put_head_on(
    model: SentenceTransformer,
    labels: Sequence[LabelledQuery],
    corpus: Corpus,
    config: HeadConfig,
    *,
    first_stage: FirstStage | None,
    teacher_temperature: float,
    seed: int,
) -> tuple[SentenceTransformer, list[dict[str, float]]]:
    """The encoder with a trained head on top.

    Args:
        model: the encoder, which stays as it is.
        labels: the ranker's scores.
        corpus: the passages.
        config: see `HeadConfig`.
        first_stage: that has this very encoder's vectors, if there is one.
        teacher_temperature: tau_t.
        seed: of weights and sampling.

    Returns:
        The model and the head's training curve, as `train_head` gives it.
    """
    texts, asked = corpus.texts(), [query.text for query in labels]
    if first_stage is not None:
        vectors, asked_vectors = first_stage.vectors.passages, first_stage.encode_queries(asked)
    else:
        vectors = encode(model, texts, "document", "encoding passages")
        asked_vectors = encode(model, asked, "query", "encoding labelled queries", 128)
    counted = bool(config.token_dimensions)
    passages = Encoded(vectors, token_counts(model, texts, "document") if counted else None)
    queries = Encoded(asked_vectors, token_counts(model, asked, "query") if counted else None)
    head = new_head(passages, config, model.tokenizer.all_special_ids, seed)
    curve = train_head(
        head,
        labels,
        queries,
        passages,
        config,
        teacher_temperature=teacher_temperature,
        seed=seed,
        device=str(model.device),
    )
    return with_head(model, head), curve


def new_head(passages: Encoded, config: HeadConfig, special_tokens: Sequence[int], seed: int) -> Head:
    """A head that has learned nothing: its adapter is the identity, its token vectors are a random projection.

    Args:
        passages: the corpus.
        config: see `HeadConfig`.
        special_tokens: that get no vector.
        seed: of its weights.
    """
    torch.manual_seed(seed)
    adapter = PassageAdapter(passages.vectors.shape[1], config.width) if config.width else None
    tokens = None
    if passages.counts is not None:
        tokens = TokenVectors(passages.counts, config.token_dimensions, special_tokens)
    return Head(adapter, tokens)


def train_head(
    head: Head,
    labels: Sequence[LabelledQuery],
    queries: Encoded,
    passages: Encoded,
    config: HeadConfig,
    *,
    teacher_temperature: float,
    seed: int,
    device: str,
) -> list[dict[str, float]]:
    """Distil labels into a head: the KL divergence of Li et al. 2024, stage 2, over the whole corpus.

    A passage that the ranker did not label for a query is irrelevant to it. Queries are drawn in proportion to their
    weights. The queries that the LLM ranked are left out, if there are others: their rankings teach the ranker alone,
    and so it can be fitted to them once more.

    Args:
        head: to train, in place.
        labels: the ranker's scores.
        queries: the queries of the labels.
        passages: the corpus.
        config: see `HeadConfig`.
        teacher_temperature: tau_t.
        seed: of the sampling.
        device: where to train.

    Returns:
        The training curve: step, loss and its terms.
    """
    random = np.random.default_rng(seed)
    free = np.flatnonzero([query.source != "teacher" for query in labels])
    taught = free if len(free) else np.arange(len(labels))
    weights = np.array([labels[row].weight for row in taught.tolist()])
    often = weights / weights.sum()
    head.to(device).train()
    rates = {head.adapter: config.learning_rate, head.tokens: config.token_learning_rate}
    groups = [{"params": part.parameters(), "rate": rate} for part, rate in rates.items() if part is not None]
    optimizer = torch.optim.Adam(groups, fused=True)
    curve: list[dict[str, float]] = []
    with progress("training the head", config.steps) as advance:
        for step in range(config.steps):
            for group in optimizer.param_groups:
                group["lr"] = group["rate"] * min(1.0, (step + 1) / 20) * (1 - step / config.steps)
            rows = random.choice(taught, config.queries_per_step, p=often)
            asked = [labels[row] for row in rows]
            chosen = _step_passages(asked, len(passages), random)
            with autocast(device):
                vectors, moved = head.passages(passages[chosen])
                cosines = (head.queries(queries[rows]) @ vectors.T).float()
            wanted = torch.from_numpy(_label_matrix(asked, chosen)).to(device)
            kl = kl_to_ranker(cosines, wanted, teacher_temperature, config.student_temperature).mean()
            anchor = config.anchor * moved.mean()
            loss = kl + anchor
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if (step + 1) % _LOG_EVERY == 0:
                curve.append({"step": step + 1.0, "loss": loss.item(), "kl": kl.item(), "anchor": anchor.item()})
            advance(1)
    head.eval()
    return curve


def _step_passages(queries: Sequence[LabelledQuery], corpus: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Positions of the passages that a step compares with, ascending: all of them, or a sample."""
    if corpus <= PASSAGES_A_STEP:
        return np.arange(corpus)
    best = np.unique(np.concatenate([query.positions[:_BEST_OF_A_QUERY] for query in queries]))
    others = random.choice(corpus, PASSAGES_A_STEP, replace=False)
    return np.union1d(best, others[: max(0, PASSAGES_A_STEP - len(best))])


def _label_matrix(queries: Sequence[LabelledQuery], chosen: NDArray[np.int64]) -> NDArray[np.float32]:
    """The ranker's scores of the chosen passages, `UNLABELLED` where it gave none. [queries, passages]"""
    matrix = np.full((len(queries), len(chosen)), UNLABELLED, dtype=np.float32)
    for row, query in zip(matrix, queries, strict=True):
        column = np.minimum(np.searchsorted(chosen, query.positions), len(chosen) - 1)
        here = chosen[column] == query.positions
        row[column[here]] = query.scores[here]
    return matrix
