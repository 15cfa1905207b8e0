"""Encoding: ours against SentenceTransformer.encode with its defaults, and against the machine's own peak."""

from __future__ import annotations

import time

import torch
from benchmarks.speed.data import MINILM, ndcg, part, scifact
from benchmarks.speed.measure import Result, alternate, rates

from rankstill.compute.precision import fast_precision
from rankstill.models import load_bi_encoder
from rankstill.retrieval import encode

PASSAGES, ROUNDS = 1500, 3


def encoding() -> list[Result]:
    """Passages a second, quality, and the share of the peak."""
    model = load_bi_encoder(MINILM, "cpu")
    ids, texts = part(PASSAGES)
    ours, theirs = alternate(
        lambda: encode(model, texts, "document", "ours"),
        lambda: model.encode(texts, show_progress_bar=False),
        ROUNDS,
        warm_up=False,
    )
    claims = scifact().texts_of(scifact().test)
    mine = ndcg(encode(model, claims, "query", "claims") @ encode(model, texts, "document", "passages").T, ids)
    stock = ndcg(
        model.encode(claims, normalize_embeddings=True, show_progress_bar=False)
        @ model.encode(texts, normalize_embeddings=True, show_progress_bar=False).T,
        ids,
    )
    fast = Result(
        "encoding",
        "SentenceTransformer.encode, defaults",
        "passages/s",
        goal=">= 4x, nDCG@10 within 0.002",
        quality=f"nDCG@10 {mine:.4f} against {stock:.4f} on {PASSAGES:,} passages",
        **rates(PASSAGES, ours, theirs),
    )
    done, peak = flops(model, texts) / min(ours) / 1e12, matrix_peak()
    share = Result(
        "encoding, share of the peak",
        "bfloat16 matrix product, measured",
        "TFLOP/s",
        done,
        peak,
        (done / peak,),
        ">= 0.5x",
        f"{100 * done / peak:.0f} % of what a matrix product of 4,096 x 4,096 reaches here",
    )
    return [fast, share]


def flops(model: object, texts: list[str]) -> float:
    """Of the encoder's matrix products over these texts, padding not counted.

    A layer of width h costs 24 h^2 a token (attention's projections 8, the feed-forward 16), and 4 h a pair of tokens.
    """
    encoder = model[0]  # type: ignore[index]
    config = encoder.auto_model.config
    total = 0.0
    for text in texts:
        tokens = len(encoder.tokenizer(text, truncation=True, max_length=encoder.max_seq_length)["input_ids"])
        total += tokens * (24 * config.hidden_size**2 + 4 * config.hidden_size * tokens) * config.num_hidden_layers
    return total


def matrix_peak(size: int = 4096, rounds: int = 5) -> float:
    """TFLOP/s of a square matrix product in the fast precision."""
    kind = torch.bfloat16 if fast_precision("cpu") else torch.float32
    left, right = (torch.randn(size, size).to(kind) for _ in range(2))
    best = float("inf")
    for _ in range(rounds):
        started = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best / 1e12
