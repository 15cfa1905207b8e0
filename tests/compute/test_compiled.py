"""What OpenVINO runs in torch's place gives what torch gives, or is not trusted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from rankstill.compute import compiled
from rankstill.ranker import Ranker
from rankstill.ranker.model import start_cross_encoder
from rankstill.retrieval import encode

pytest.importorskip("openvino")
TEXTS = ["red", "a red apple lies in the grass", "blue water, blue sky", "green"] * 20


@pytest.fixture(autouse=True)
def always_worth_it(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if not compiled._can_compile("cpu"):
        pytest.skip("OpenVINO runs models on x86 processors")
    monkeypatch.setattr(compiled, "_WORTH_COMPILING", 0)
    yield
    compiled._KNOWN.clear()


def by_torch(model: SentenceTransformer) -> np.ndarray:
    return np.asarray(model.encode_document(TEXTS, normalize_embeddings=True))


def test_vectors_are_torchs_though_torch_runs_one_batch_alone(
    tiny_model: SentenceTransformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = by_torch(tiny_model)
    network, batches = tiny_model[0].model, []
    forward = type(network).forward
    monkeypatch.setattr(type(network), "forward", lambda self, **given: batches.append(given) or forward(self, **given))
    got = encode(tiny_model, TEXTS, "document", "texts", batch_size=8)
    assert [len(given["input_ids"]) for given in batches].count(8) == 1  # others are what the compiler was shown
    np.testing.assert_allclose(np.sum(got * expected, axis=1), 1, atol=1e-3)
    assert "forward" not in vars(network)


def test_a_model_that_has_learned_since_is_compiled_anew(tiny_model: SentenceTransformer) -> None:
    before = encode(tiny_model, TEXTS, "document", "texts")
    for weight in tiny_model[0].parameters():
        weight.data.mul_(1.5)
    after = encode(tiny_model, TEXTS, "document", "texts", batch_size=8)
    np.testing.assert_allclose(np.sum(after * by_torch(tiny_model), axis=1), 1, atol=1e-3)
    assert np.abs(after - before).max() > 0.01


def test_a_rankers_scores_are_torchs(tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = start_cross_encoder(str(tiny_model_folder), 64, "cpu")
    torch.manual_seed(0)
    torch.nn.init.normal_(model[-1].linear.weight)  # it starts at zero, and would rank nothing
    pairs = [("red apple", text) for text in TEXTS]
    ranker = Ranker(None, model)
    compiled_scores = ranker.score(pairs, None, 8)
    assert [fast is not None for _, fast in compiled._KNOWN.values()] == [True]
    monkeypatch.setattr(compiled, "_WORTH_COMPILING", 10**6)
    np.testing.assert_allclose(compiled_scores, ranker.score(pairs, None, 8), atol=0.05)  # bfloat16's


def test_what_gives_something_else_than_torch_is_not_used_and_said(
    tiny_model: SentenceTransformer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compiled, "_off", lambda *_: 0.2)
    got = encode(tiny_model, TEXTS, "document", "texts", batch_size=8)
    assert [fast for _, fast in compiled._KNOWN.values()] == [None]
    np.testing.assert_allclose(np.sum(got * by_torch(tiny_model), axis=1), 1, atol=1e-3)
    said = capfd.readouterr()
    assert (said.out + said.err).count("OpenVINO and torch differ by 20%") == 1


def test_a_model_that_cannot_be_compiled_is_run_by_torch_and_said(
    tiny_model: SentenceTransformer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import openvino

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("no such operation: flux\nand ten lines more")

    monkeypatch.setattr(openvino, "convert_model", refuse)
    got = encode(tiny_model, TEXTS, "document", "texts")
    np.testing.assert_allclose(np.sum(got * by_torch(tiny_model), axis=1), 1, atol=1e-3)
    said = capfd.readouterr()
    assert "torch runs it (RuntimeError: no such operation: flux)" in said.out + said.err


def test_a_few_texts_are_not_worth_compiling(tiny_model: SentenceTransformer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_WORTH_COMPILING", 10**6)
    encode(tiny_model, TEXTS, "document", "texts")
    assert not compiled._KNOWN
