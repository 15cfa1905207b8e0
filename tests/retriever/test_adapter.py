"""The passage adapter: a residual network over passage vectors, trained against the whole corpus."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from rankstill.config import AdapterConfig
from rankstill.labels import LabelledQuery
from rankstill.models import load_bi_encoder
from rankstill.retriever import adapter as module
from rankstill.retriever import train_adapter, with_adapter
from rankstill.retriever.adapter import PassageAdapter

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

pytestmark = pytest.mark.usefixtures("full_precision")

PASSAGES, DIMENSIONS = 40, 16
TEXTS = ["magma", "The crater of the volcano and its lava change each year", "flour and yeast", "tide " * 30]


def unit(rows: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(rows, DIMENSIONS))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


QUERIES, CORPUS = unit(120, seed=0), unit(PASSAGES, seed=1)
ANSWERS = np.random.default_rng(2).integers(0, PASSAGES, size=120)
"""One passage for each query, near it or not: what only a memory can learn."""


def labels(source: str = "pseudo") -> list[LabelledQuery]:
    return [
        LabelledQuery(str(row), "", source, np.array([answer, (answer + 1) % PASSAGES]), np.float32([4.0, 0.0]))  # type: ignore[arg-type]
        for row, answer in enumerate(ANSWERS)
    ]


def config(**changes: float) -> AdapterConfig:
    small = {
        "width": 256,
        "steps": 200,
        "queries_per_step": 60,
        "ranked_per_step": 30,
        "anchor": 0.0,
        "student_temperature": 0.1,
    }
    return AdapterConfig.model_validate({**small, **changes})


def train(
    taught: list[LabelledQuery], settings: AdapterConfig, seed: int = 0
) -> tuple[PassageAdapter, list[dict[str, float]]]:
    return train_adapter(
        taught,
        QUERIES,
        CORPUS,
        settings,
        teacher_temperature=1.0,
        seed=seed,
        device="cpu",
    )


def moved(adapter: PassageAdapter) -> np.ndarray:
    with torch.no_grad():
        vectors: np.ndarray = adapter(torch.from_numpy(CORPUS)).numpy()
    return vectors


def hits(passages: np.ndarray) -> float:
    return float(((QUERIES @ passages.T).argmax(axis=1) == ANSWERS).mean())


def test_it_starts_as_the_identity() -> None:
    np.testing.assert_allclose(moved(PassageAdapter(DIMENSIONS, 64)), CORPUS, atol=1e-6)


@pytest.mark.parametrize("source", ["pseudo", "extra", "teacher"])
def test_queries_of_every_kind_pull_their_passages_near(source: str) -> None:
    adapter, curve = train(labels(source), config())
    assert hits(moved(adapter)) > hits(CORPUS) + 0.2
    assert curve[-1]["loss"] < 0.7 * curve[0]["loss"]


def test_an_anchor_keeps_passages_near_where_they_were() -> None:
    free, held = (moved(train(labels(), config(anchor=anchor))[0]) for anchor in (0.0, 20.0))
    near = (held * CORPUS).sum(axis=1).mean()
    assert near > 0.95
    assert near > (free * CORPUS).sum(axis=1).mean() + 0.05
    assert hits(held) > hits(CORPUS)


def test_the_same_seed_gives_the_same_adapter_and_another_seed_another() -> None:
    first, again, other = (moved(train(labels(), config(steps=20), seed)[0]) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other, atol=1e-3)


def test_the_curve_tells_its_terms_apart() -> None:
    mixed = labels("teacher")[:50] + labels()[50:]
    _, curve = train(mixed, config(steps=30, anchor=1.0, ranked_per_step=30))
    assert [entry["step"] for entry in curve] == [10, 20, 30]
    for entry in curve:
        assert entry["loss"] == pytest.approx(entry["anchor"] + entry["kl"] + entry["kl_ranked"], rel=1e-5)


def test_a_corpus_too_large_for_a_step_is_sampled_and_still_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PASSAGES_A_STEP", 30)
    adapter, _ = train(labels(), config(queries_per_step=10, steps=400))
    assert hits(moved(adapter)) > hits(CORPUS) + 0.2


def test_a_sample_holds_the_best_passages_of_the_steps_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PASSAGES_A_STEP", 20)
    chosen = module._step_passages(labels()[:3], PASSAGES, np.random.default_rng(0))
    assert {int(position) for query in labels()[:3] for position in query.positions} <= set(chosen.tolist())
    assert len(chosen) <= 20
    assert chosen.tolist() == sorted(set(chosen.tolist()))
    matrix = module._label_matrix(labels()[:3], chosen)
    for query, row in zip(labels(), matrix, strict=False):
        known = dict(zip(query.positions.tolist(), query.scores.tolist(), strict=True))
        assert row.tolist() == [known.get(position, -np.inf) for position in chosen.tolist()]


def test_as_a_model_passages_go_through_it_and_queries_do_not(tiny_model: SentenceTransformer, tmp_path: Path) -> None:
    adapter = PassageAdapter(32, 48)
    with torch.no_grad():
        adapter.down.weight.normal_(std=0.05)
    before, asked = tiny_model.encode_document(TEXTS, convert_to_tensor=True), tiny_model.encode_query(TEXTS)
    adapted = with_adapter(tiny_model, adapter)
    adapted.save_pretrained(str(tmp_path / "saved"), create_model_card=False)
    for model in (adapted, load_bi_encoder(str(tmp_path / "saved"), "cpu")):
        np.testing.assert_allclose(model.encode_query(TEXTS), asked, atol=1e-5)
        with torch.no_grad():
            expected = adapter(before.cpu()).numpy()
        np.testing.assert_allclose(model.encode_document(TEXTS), expected, atol=1e-5)
        np.testing.assert_allclose(model.encode(TEXTS), expected, atol=1e-5)  # what is not said to be a query
        assert model.max_seq_length == 128
    assert not np.allclose(expected, before.cpu().numpy(), atol=1e-2)


def test_the_folder_holds_the_encoder_once_and_no_code(tiny_model: SentenceTransformer, tmp_path: Path) -> None:
    with_adapter(tiny_model, PassageAdapter(32, 48)).save_pretrained(str(tmp_path), create_model_card=False)
    assert len(list(tmp_path.rglob("tokenizer.json"))) == len(list(tmp_path.rglob("model.safetensors"))) - 2 == 1
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".py", ".bin", ".pt", ".pkl")]


def test_the_models_own_prompts_stay(tiny_model: SentenceTransformer) -> None:
    tiny_model.prompts = {"query": "ask: ", "document": "read: "}
    assert with_adapter(tiny_model, PassageAdapter(32, 8)).prompts == {"query": "ask: ", "document": "read: "}
