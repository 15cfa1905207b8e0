"""What a run will take, told before it starts: minutes, memory, disk and the LLM's price."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from rankstill.retrieval import encode
from rankstill.steps import duration, title

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder, SentenceTransformer

    from rankstill.components import Components
    from rankstill.pipeline import Chain

_SAMPLE = 48
"""Passages that are encoded to measure this machine: two seconds of two cores."""
_WARM = 16
_CHARACTERS_A_TOKEN = 4.5
"""Of English, about."""
_TRAINED = 3.0
"""Forward passes that a forward and a backward pass take the time of."""
_SHARES = 5
"""Mixtures of new and old weights that the held-out lists compare (`choose_blend`)."""
_CROSS_ENCODER = 1.7
"""Forward passes of the default bi-encoder that one of the default cross-encoder, of twice the layers, takes."""
_TOKENS_INDEXED = 1.3
"""Encoding a passage with a vector for each token, and packing these, to encoding it with one."""
_QUERY = 0.1
"""Encoding a query, to encoding a passage."""
_MAXSIM = 0.0005
"""Matching a query's tokens with those of a passage, to encoding the passage."""
_OF_BOTH_RANKERS = 1.5
"""Passages that two rankers read, to those of one: many are the same, and those are read once."""
_WORTH_A_LINE = 5.0
"""Seconds of a step below which it is counted among the others."""
_STARTING = 2.0
"""Seconds of a step, whatever there is to do."""
_LIBRARIES = 3.0e9
"""Bytes of memory that the demo took at its peak besides weights and vectors: libraries, compiled encoders, a training
step's activations."""
_COPIES = 4
"""Models that a workspace holds, about: the ranker's, the distilled one, and the multi-vector ones."""


def expected_seconds(components: Components, steps: tuple[str, ...]) -> dict[str, float]:
    """How long each step will take on this machine, by its encoding rate. An LLM's answers are not counted.

    Returns:
        Seconds, by step.
    """
    work, a_passage = _work(components, steps), _seconds_a_passage(components)
    return {step: _STARTING + a_passage * work.get(step, 0.0) for step in steps}


def forecast(chain: Chain) -> list[str]:
    """What running the whole chain would take, for people; encodes a few passages, and asks no LLM.

    Raises:
        RankstillError: as `Chain.run`, where that could not begin.
    """
    planned = chain.planned()
    seconds = expected_seconds(chain.components, planned)
    held = [step for step in planned if chain.workspace.record(step)]
    long = {step: each for step, each in seconds.items() if each >= _WORTH_A_LINE}
    total, recorded = sum(seconds.values()), chain.config.teacher.kind == "recorded"
    lines = [_row(title(step), duration(each)) for step, each in long.items()]
    lines.append(_row("other steps", duration(total - sum(long.values()))))
    lines.append(_row("time" if recorded else "time, without the LLM's answers", duration(total)))
    lines += _space(chain)
    if held:
        lines.append(f"The workspace holds {len(held)} steps already; those that still fit are not made again.")
    return lines + _asking(chain)


def _work(components: Components, steps: tuple[str, ...]) -> Mapping[str, float]:
    """The work of each long step, as a number of encoded passages that takes as long."""
    config, dataset, before = components.config, components.dataset, components.model_before
    corpus, k, n = float(len(dataset.corpus)), config.candidates.k, config.candidates.n
    recorded = config.teacher.kind == "recorded" and "rankings" in steps
    asked = len(components.recorded()[0] if recorded else components.queries_to_rank)
    taught = asked * (1 - config.evaluation.holdout)
    teaching, judging = taught * (1 - config.retriever.holdout), taught * config.retriever.holdout
    unranked = len(dataset.extra)
    if config.labels.ranked_by in ("both", "ranker"):
        most = len(dataset.train) if config.labels.unranked is None else config.labels.unranked
        unranked += min(most, len(dataset.train) - asked)
    labelled = teaching + unranked
    searched = len(dataset.test) or len(dataset.unjudged)
    cross = _CROSS_ENCODER if "ranker" in steps and components.cross_encoder_start else 0.0
    depth = config.evaluation.rerank_depth
    length = min(1.0, config.retriever.training_length / _tokens_a_passage(components))
    judged = _SHARES * judging * k
    trained = labelled * config.retriever.passages_per_query * _TRAINED * length
    epochs = config.multi_vector.epochs
    late = ("token_index" in steps) + ("multi_vector_distilled" in steps)
    # A ColBERT model may be larger than the retriever.
    times = 1.0 if config.multi_vector.model is None else _weights(components.late_start) / _weights(before)
    return {
        "vectors": corpus,
        "candidates": _QUERY * (len(dataset.train) + len(dataset.extra)),
        "held_out": _QUERY * asked,
        "multi_vector": min(100, asked) * k if config.multi_vector.model is None else 0.0,
        "token_index": times * _TOKENS_INDEXED * corpus,
        "ranker": taught * (_QUERY + cross * k * (1 + _TRAINED)),
        "labels": _QUERY * labelled + cross * n * (taught + unranked),
        "retriever": judged + config.retriever.epochs * trained,
        "reranker": corpus + judging * k,
        "multi_vector_distilled": times * (judged + epochs * trained + _TOKENS_INDEXED * corpus) if epochs else 0.0,
        "agreement": (asked - taught) * (_QUERY + cross * k),
        "runs": searched * (4 * _QUERY + _OF_BOTH_RANKERS * cross * depth + late * _MAXSIM * corpus),
    }


def _weights(model: SentenceTransformer | MultiVectorEncoder) -> int:
    """Of its layers, which a text passes through; of the vocabulary's it takes a few rows."""
    return sum(weight.numel() for name, weight in model.named_parameters() if "embeddings" not in name)


def _seconds_a_passage(components: Components) -> float:
    texts = _sample(components)
    encode(components.model_before, texts[:_WARM], "document", "warming up")
    started = time.monotonic()
    encode(components.model_before, texts[_WARM:] or texts, "document", "measuring this machine")
    return (time.monotonic() - started) / len(texts[_WARM:] or texts)


def _tokens_a_passage(components: Components) -> float:
    """By characters, because not every model has a tokenizer of one kind."""
    most = components.model_before.max_seq_length or np.inf
    return float(np.mean([min(len(text) / _CHARACTERS_A_TOKEN, most) for text in _sample(components)]))


def _sample(components: Components) -> list[str]:
    corpus = components.dataset.corpus
    rows = np.random.default_rng(components.config.seed).choice(len(corpus), min(_SAMPLE + _WARM, len(corpus)), False)
    return list(corpus.texts(int(row) for row in rows))


def _space(chain: Chain) -> list[str]:
    components, config = chain.components, chain.config
    dimensions, own = (
        int(model.get_embedding_dimension() or 0) for model in (components.model_before, components.late_start)
    )
    weights = 4.0 * sum(weight.numel() for weight in components.model_before.parameters())
    vectors = 4.0 * len(components.dataset.corpus) * dimensions
    tokens = len(components.dataset.corpus) * _tokens_a_passage(components) / config.multi_vector.pooling
    indexes = sum(step in chain.steps for step in ("token_index", "multi_vector_distilled"))
    of_a_token = (config.multi_vector.dimensions or own) * config.multi_vector.bits / 8
    disk = _COPIES * weights + 2 * vectors + indexes * tokens * of_a_token
    memory = _LIBRARIES + 4 * weights + 2 * vectors
    return [_row("memory", _bytes(memory)), _row("disk", _bytes(disk))]


def _asking(chain: Chain) -> list[str]:
    """The LLM's part, as if the candidates were passages drawn at random: before a search nobody knows them."""
    if chain.config.teacher.kind == "recorded":
        return ["The rankings are recorded: no LLM is asked, and nothing is paid."]
    if chain.workspace.record("rankings"):
        return []
    with chain.components.teacher() as teacher:
        return teacher.quoted(chain.components.drawn_lists())


def _row(what: str, amount: str) -> str:
    return f"{what:32} {amount:>12}"


def _bytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.0f} MB"
