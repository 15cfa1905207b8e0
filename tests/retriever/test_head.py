"""The head: an adapter for passages and token vectors for both, trained against the whole corpus."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from rankstill.candidates import vectors
from rankstill.config import HeadConfig
from rankstill.labels import LabelledQuery
from rankstill.models import load_bi_encoder
from rankstill.retriever import head as head_module
from rankstill.retriever import head_training as module
from rankstill.retriever.adapter import PassageAdapter
from rankstill.retriever.head import Encoded, Head, carry_through_head, with_head
from rankstill.retriever.head_training import new_head, train_head
from rankstill.retriever.tokens import TokenVectors, token_counts

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

pytestmark = pytest.mark.usefixtures("full_precision")

PASSAGES, DIMENSIONS, VOCABULARY = 40, 16, 90
TEXTS = ["magma", "The crater of the volcano and its lava change each year", "flour and yeast", "tide " * 30]


def encoded(rows: int, seed: int) -> Encoded:
    """Vectors and tokens that have nothing to do with one another."""
    draw = np.random.default_rng(seed)
    vectors = draw.normal(size=(rows, DIMENSIONS)).astype(np.float32)
    counts = sp.csr_matrix((draw.random((rows, VOCABULARY)) < 0.06).astype(np.float32))
    return Encoded(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), counts)


QUERIES, CORPUS = encoded(120, seed=0), encoded(PASSAGES, seed=1)
ANSWERS = np.random.default_rng(2).integers(0, PASSAGES, size=120)
"""One passage for each query, near it or not: what only a memory can learn."""


def labels(source: str = "pseudo") -> list[LabelledQuery]:
    return [
        LabelledQuery(str(row), "", source, np.array([answer, (answer + 1) % PASSAGES]), np.float32([4.0, 0.0]))  # type: ignore[arg-type]
        for row, answer in enumerate(ANSWERS)
    ]


def config(**changes: float) -> HeadConfig:
    small = {
        "width": 256,
        "token_dimensions": 0,
        "steps": 200,
        "queries_per_step": 60,
        "anchor": 0.0,
        "student_temperature": 0.1,
    }
    return HeadConfig.model_validate({**small, **changes})


def train(taught: list[LabelledQuery], settings: HeadConfig, seed: int = 0) -> tuple[Head, list[dict[str, float]]]:
    counted = bool(settings.token_dimensions)
    every = QUERIES[np.arange(len(taught)) % len(QUERIES)]  # labels may come to the same queries twice
    asked, passages = (each if counted else Encoded(each.vectors) for each in (every, CORPUS))
    head = new_head(passages, settings, special_tokens=[0], seed=seed)
    curve = train_head(head, taught, asked, passages, settings, teacher_temperature=1.0, seed=seed, device="cpu")
    return head, curve


@torch.no_grad()
def hits(head: Head) -> float:
    cosines = head.queries(QUERIES) @ head.passages(CORPUS)[0].T
    return float((cosines.argmax(dim=1).numpy() == ANSWERS).mean())


@torch.no_grad()
def places(head: Head) -> np.ndarray:
    vectors: np.ndarray = head.passages(CORPUS)[0].numpy()
    return vectors


NOTHING = Head(PassageAdapter(DIMENSIONS, 8), None)


def test_the_adapter_starts_as_the_identity() -> None:
    np.testing.assert_allclose(places(NOTHING), CORPUS.vectors, atol=1e-6)


@pytest.mark.parametrize("source", ["pseudo", "extra", "teacher"])
@pytest.mark.parametrize("parts", [{}, {"width": 0, "token_dimensions": 32}, {"token_dimensions": 32}])
def test_queries_of_every_kind_teach_every_part(source: str, parts: dict[str, int]) -> None:
    head, curve = train(labels(source), config(**parts, token_learning_rate=0.02))
    assert hits(head) > hits(NOTHING) + 0.2
    assert curve[-1]["loss"] < 0.8 * curve[0]["loss"]


def test_rankings_of_the_llm_are_left_to_the_ranker_where_there_are_free_labels() -> None:
    free = labels()[:60]
    with_lists, _ = train(free + labels("teacher")[60:], config(steps=20))
    without, _ = train(free, config(steps=20))
    np.testing.assert_array_equal(places(with_lists), places(without))


def test_an_anchor_keeps_passages_near_where_they_were() -> None:
    free, held = (train(labels(), config(anchor=anchor))[0] for anchor in (0.0, 20.0))
    near = (places(held) * CORPUS.vectors).sum(axis=1).mean()
    assert near > 0.95
    assert near > (places(free) * CORPUS.vectors).sum(axis=1).mean() + 0.05
    assert hits(held) > hits(NOTHING)


@pytest.mark.parametrize("parts", [{}, {"token_dimensions": 32}])
def test_the_same_seed_gives_the_same_head_and_another_seed_another(parts: dict[str, int]) -> None:
    first, again, other = (places(train(labels(), config(steps=20, **parts), seed)[0]) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other, atol=1e-3)


def test_the_curve_tells_its_terms_apart() -> None:
    _, curve = train(labels(), config(steps=30, anchor=1.0))
    assert [entry["step"] for entry in curve] == [10, 20, 30]
    for entry in curve:
        assert entry["loss"] == pytest.approx(entry["anchor"] + entry["kl"], rel=1e-5)


def test_no_steps_leave_the_head_as_it_starts() -> None:
    head, curve = train(labels(), config(steps=0))
    np.testing.assert_allclose(places(head), CORPUS.vectors, atol=1e-6)
    assert curve == []


def test_a_corpus_too_large_for_a_step_is_sampled_and_still_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PASSAGES_A_STEP", 30)
    head, _ = train(labels(), config(queries_per_step=10, steps=400))
    assert hits(head) > hits(NOTHING) + 0.2


def test_a_sample_holds_the_best_passages_of_the_steps_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PASSAGES_A_STEP", 20)
    chosen = module._step_passages(labels()[:3], np.arange(PASSAGES), np.random.default_rng(0))
    assert {int(position) for query in labels()[:3] for position in query.positions} <= set(chosen.tolist())
    assert len(chosen) <= 20
    assert chosen.tolist() == sorted(set(chosen.tolist()))
    matrix = module._label_matrix(labels()[:3], chosen)
    for query, row in zip(labels(), matrix, strict=False):
        known = dict(zip(query.positions.tolist(), query.scores.tolist(), strict=True))
        assert row.tolist() == [known.get(position, -np.inf) for position in chosen.tolist()]


def a_head(model: SentenceTransformer, adapter: bool, tokens: bool) -> Head:
    torch.manual_seed(0)
    moves = PassageAdapter(32, 48)
    with torch.no_grad():
        moves.down.weight.normal_(std=0.05)
    table = TokenVectors(token_counts(model, TEXTS, "document"), 20, model.tokenizer.all_special_ids)
    return Head(moves if adapter else None, table if tokens else None)


@pytest.mark.parametrize(("adapter", "tokens"), [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("prompts", [{}, {"query": "ask: ", "document": "read: "}])
def test_as_a_model_it_gives_the_vectors_that_it_was_trained_with(
    tiny_model: SentenceTransformer, tmp_path: Path, adapter: bool, tokens: bool, prompts: dict[str, str]
) -> None:
    tiny_model.prompts = dict(prompts)
    head = a_head(tiny_model, adapter, tokens)
    by_kind = {
        kind: Encoded(encode(TEXTS, normalize_embeddings=True), token_counts(tiny_model, TEXTS, kind))
        for kind, encode in (("query", tiny_model.encode_query), ("document", tiny_model.encode_document))
    }
    with torch.no_grad():
        asked, passages = head.queries(by_kind["query"]).numpy(), head.passages(by_kind["document"])[0].numpy()
    complete = with_head(tiny_model, head)
    complete.save_pretrained(str(tmp_path / "saved"), create_model_card=False)
    for model in (complete, load_bi_encoder(str(tmp_path / "saved"), "cpu")):
        np.testing.assert_allclose(model.encode_query(TEXTS), asked, atol=1e-5)
        np.testing.assert_allclose(model.encode_document(TEXTS), passages, atol=1e-5)
        known = by_kind["document"].vectors
        path = tmp_path / f"{id(model)}.npy"
        carry_through_head(model, tiny_model, TEXTS, known, path)
        np.testing.assert_allclose(np.load(path), passages, atol=1e-5)
        assert model.get_embedding_dimension() == passages.shape[1]
        assert model.max_seq_length == 128
        assert {name: model.prompts[name] for name in prompts} == prompts
    assert adapter == (not np.allclose(passages[:, :32], asked[:, :32], atol=1e-2)) or prompts


def test_what_was_carried_before_a_kill_is_not_carried_again(
    tiny_model: SentenceTransformer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors, "_TEXTS_A_STRETCH", 2)
    complete = with_head(tiny_model, a_head(tiny_model, adapter=True, tokens=True))
    texts = [*TEXTS, "lava"]
    known = tiny_model.encode_document(texts, normalize_embeddings=True)
    real, carried = head_module._carry, []

    def until_killed(model: SentenceTransformer, modules: int, stretch: list[str], *rest: Any) -> Any:
        carried.append(stretch)
        if len(carried) == 2:
            raise KeyboardInterrupt
        return real(model, modules, stretch, *rest)

    carry_through_head(complete, tiny_model, texts, known, tmp_path / "whole.npy")
    monkeypatch.setattr(head_module, "_carry", until_killed)
    with pytest.raises(KeyboardInterrupt):
        carry_through_head(complete, tiny_model, texts, known, tmp_path / "killed.npy")
    carry_through_head(complete, tiny_model, texts, known, tmp_path / "killed.npy")
    assert carried == [texts[:2], texts[2:4], texts[2:4], texts[4:]]  # the first stretch was kept
    assert (tmp_path / "killed.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()


def test_what_is_not_said_to_be_a_query_is_a_passage(tiny_model: SentenceTransformer) -> None:
    complete = with_head(tiny_model, a_head(tiny_model, adapter=True, tokens=True))
    np.testing.assert_allclose(complete.encode(TEXTS), complete.encode_document(TEXTS), atol=1e-6)


def test_the_folder_holds_encoder_and_token_vectors_once_and_no_code(
    tiny_model: SentenceTransformer, tmp_path: Path
) -> None:
    with_head(tiny_model, a_head(tiny_model, adapter=True, tokens=True)).save_pretrained(
        str(tmp_path), create_model_card=False
    )
    held = sorted(path.parent.name for path in tmp_path.rglob("model.safetensors"))
    assert [name.split("_")[-1] for name in held] == ["Dense", "Dense", "Transformer", "WordEmbeddings", "Dense"]
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".py", ".bin", ".pt", ".pkl")]


def test_a_query_that_weighs_nothing_is_never_drawn() -> None:
    contrary = [replace(query, positions=query.positions[::-1], weight=0.0) for query in labels()]
    with_contrary, _ = train(labels() + contrary, config())
    assert hits(with_contrary) > hits(NOTHING) + 0.2
    equal, _ = train(labels() + [replace(query, weight=1.0) for query in contrary], config())
    assert hits(equal) < hits(with_contrary)
