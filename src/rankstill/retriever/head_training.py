"""Labels -> retriever, second part: train the head against the whole corpus at every step.

Training an encoder sees a few dozen passages a step. The head works on vectors that are computed once, so that a step
can compare hundreds of queries with every passage in a fraction of a second.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from rankstill.candidates import encode, encode_passages
from rankstill.candidates.vectors import stretches, write_vectors
from rankstill.compute.memory import release_memory
from rankstill.compute.precision import autocast
from rankstill.labels.table import LabelledQuery
from rankstill.progress import Advance, progress
from rankstill.retriever.adapter import PassageAdapter
from rankstill.retriever.head import Encoded, Head, with_head
from rankstill.retriever.held_out import HeldOut, held_out
from rankstill.retriever.loss import UNLABELLED, mean_kl
from rankstill.retriever.tokens import TokenVectors, count_to_file

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
    folder: Path,
    *,
    judging: Collection[str] = (),
    first_stage: FirstStage | None,
    teacher_temperature: float,
    seed: int,
) -> tuple[SentenceTransformer, list[dict[str, float]], HeldOut | None]:
    """The encoder with a trained head on top; without it, where the LLM's rankings are not likelier with it.

    Args:
        model: the encoder, which stays as it is.
        labels: the ranker's scores.
        corpus: the passages.
        config: see `HeadConfig`.
        folder: for files of what is too large for memory; they go when the head is trained.
        judging: ids of queries that the LLM ranked and that do not teach the head, where others that it ranked do.
        first_stage: that has this very encoder's vectors, if there is one.
        teacher_temperature: tau_t.
        seed: of weights and sampling.

    Returns:
        The model; the head's training curve, as `train_head` gives it; and how the LLM's rankings, where they did not
        teach the head, judge it.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix="head-") as name:
        place = Path(name)
        passages = _passages(model, corpus, config, first_stage, place)
        queries = _queries(model, [query.text for query in labels], config, first_stage, place)
        head = new_head(passages, config, model.tokenizer.all_special_ids, seed)
        curve = train_head(
            head,
            labels,
            queries,
            passages,
            config,
            judging=judging,
            teacher_temperature=teacher_temperature,
            seed=seed,
            device=str(model.device),
            left_out=corpus.repeats,
        )
        found = held_out(head, labels, queries, passages, judging)
    if config.only_if_better and found is not None and not found.better:
        return model, curve, found
    return with_head(model, head), curve, found


def _passages(
    model: SentenceTransformer, corpus: Corpus, config: HeadConfig, first_stage: FirstStage | None, folder: Path
) -> Encoded:
    """The corpus as the head sees it, in files."""
    if first_stage is not None:
        vectors = first_stage.vectors.passages
    else:
        encode_passages(model, corpus, folder)
        vectors = np.load(folder / "passages.npy", mmap_mode="r")
    if not config.token_dimensions:
        return Encoded(vectors)
    return Encoded(vectors, count_to_file(model, corpus.texts(), "document", folder / "passage-tokens"))


def _queries(
    model: SentenceTransformer, texts: Sequence[str], config: HeadConfig, first_stage: FirstStage | None, folder: Path
) -> Encoded:
    """The labelled queries as the head sees them, in files."""

    def encoded(done: int, advance: Advance) -> Iterator[NDArray[np.float32]]:
        for rows in stretches(len(texts), done):
            if first_stage is not None:
                yield first_stage.encode_queries(texts[rows])
            else:
                yield encode(model, texts[rows], "query", "encoding labelled queries", 128)
            advance(rows.stop - rows.start)

    path = folder / "queries.npy"
    write_vectors(path, (len(texts), int(model.get_embedding_dimension() or 0)), "reading labelled queries", encoded)
    vectors = np.load(path, mmap_mode="r")
    if not config.token_dimensions:
        return Encoded(vectors)
    return Encoded(vectors, count_to_file(model, texts, "query", folder / "query-tokens"))


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
    judging: Collection[str] = (),
    teacher_temperature: float,
    seed: int,
    device: str,
    left_out: NDArray[np.bool_] | None = None,
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
        judging: ids of queries that do not teach, whatever else there is.
        teacher_temperature: tau_t.
        seed: of the sampling.
        device: where to train.
        left_out: passages that no query is compared with, for they say what another says, and the labels name only
            that one; None: all are compared. [passages]

    Returns:
        The training curve: step, loss and its terms.
    """
    random = np.random.default_rng(seed)
    free = np.flatnonzero([query.source != "teacher" for query in labels])
    taught = free if len(free) else np.flatnonzero([query.id not in judging for query in labels])
    weights = np.array([labels[row].weight for row in taught.tolist()])
    often = weights / weights.sum()
    head.to(device).train()
    rates = {head.adapter: config.learning_rate, head.tokens: config.token_learning_rate}
    groups = [{"params": part.parameters(), "rate": rate} for part, rate in rates.items() if part is not None]
    optimizer = torch.optim.Adam(groups, fused=True)
    curve: list[dict[str, float]] = []
    compared = np.arange(len(passages)) if left_out is None else np.flatnonzero(~left_out)
    with progress("training the head", config.steps) as advance:
        for step in range(config.steps):
            for group in optimizer.param_groups:
                group["lr"] = group["rate"] * min(1.0, (step + 1) / 20) * (1 - step / config.steps)
            rows = random.choice(taught, config.queries_per_step, p=often)
            asked = [labels[row] for row in rows]
            chosen = _step_passages(asked, compared, random)
            with autocast(device):
                vectors, moved = head.passages(passages[chosen])
                cosines = head.queries(queries[rows]) @ vectors.T
            wanted = torch.from_numpy(_label_matrix(asked, chosen)).to(device)
            kl = mean_kl(cosines, wanted, teacher_temperature, config.student_temperature)
            anchor = config.anchor * moved.mean()
            loss = kl + anchor
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if (step + 1) % _LOG_EVERY == 0:
                curve.append({"step": step + 1.0, "loss": loss.item(), "kl": kl.item(), "anchor": anchor.item()})
            if len(compared) > PASSAGES_A_STEP:
                release_memory()  # samples differ in size: what one step frees fits no tensor of the next
            advance(1)
    head.eval()
    return curve


def _step_passages(
    queries: Sequence[LabelledQuery], compared: NDArray[np.int64], random: np.random.Generator
) -> NDArray[np.int64]:
    """Positions of the passages that a step compares with, ascending: all of these, or a sample."""
    if len(compared) <= PASSAGES_A_STEP:
        return compared
    best = np.unique(np.concatenate([query.positions[:_BEST_OF_A_QUERY] for query in queries]))
    others = random.choice(compared, PASSAGES_A_STEP, replace=False)
    return np.union1d(best, others[: max(0, PASSAGES_A_STEP - len(best))])


def _label_matrix(queries: Sequence[LabelledQuery], chosen: NDArray[np.int64]) -> NDArray[np.float32]:
    """The ranker's scores of the chosen passages, `UNLABELLED` where it gave none. [queries, passages]"""
    matrix = np.full((len(queries), len(chosen)), UNLABELLED, dtype=np.float32)
    for row, query in zip(matrix, queries, strict=True):
        column = np.minimum(np.searchsorted(chosen, query.positions), len(chosen) - 1)
        here = chosen[column] == query.positions
        row[column[here]] = query.scores[here]
    return matrix
