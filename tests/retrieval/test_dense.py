"""Encoding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rankstill.compute.memory import DeviceMemory
from rankstill.retrieval.dense import encode

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

TEXTS = ["magma", "the dough of the bakery needs yeast and flour", "", "tide " * 200, "violin and cello"]


@pytest.mark.usefixtures("full_precision")
def test_vectors_come_in_the_order_of_the_texts_whatever_their_lengths(tiny_model: SentenceTransformer) -> None:
    together = encode(tiny_model, TEXTS, "document", "encoding", batch_size=2)
    alone = np.concatenate([tiny_model.encode([text], normalize_embeddings=True) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert len(np.unique(together.round(3), axis=0)) == len(TEXTS)  # the order could be told apart


def test_bfloat16_where_it_is_used_stays_close_to_full_precision(
    tiny_model: SentenceTransformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rankstill.compute.precision.fast_precision", lambda device: True)
    exact = tiny_model.encode(TEXTS, normalize_embeddings=True)
    cosines = (encode(tiny_model, TEXTS, "document", "encoding") * exact).sum(axis=1)
    np.testing.assert_allclose(cosines, 1.0, atol=0.01)


def test_vectors_have_unit_length_even_if_the_model_does_not_normalise(tiny_model: SentenceTransformer) -> None:
    del tiny_model[2]
    assert np.linalg.norm(tiny_model.encode(["magma"])) > 1.5
    np.testing.assert_allclose(np.linalg.norm(encode(tiny_model, TEXTS, "query", "encoding"), axis=1), 1.0, atol=1e-5)


@pytest.mark.usefixtures("full_precision")
@pytest.mark.parametrize("kind", ["query", "document"])
def test_the_models_own_prompt_for_the_kind_is_prepended(tiny_model: SentenceTransformer, kind: str) -> None:
    tiny_model.prompts = {"query": "tulip: ", "document": "glacier: "}
    got = encode(tiny_model, ["magma and lava"], kind, "encoding")
    prompted = tiny_model.encode([tiny_model.prompts[kind] + "magma and lava"], prompt="")
    plain = tiny_model.encode(["magma and lava"], prompt="")
    np.testing.assert_allclose(got, prompted, atol=1e-5)
    assert not np.allclose(got, plain, atol=1e-2)


@pytest.mark.usefixtures("full_precision")
def test_a_gpu_encodes_as_many_texts_at_once_as_its_memory_holds(
    tiny_model: SentenceTransformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts, sizes = [f"magma {number}" for number in range(50)], []
    real = tiny_model.forward

    def counted(features: dict[str, Any], **kwargs: Any) -> Any:
        sizes.append(len(features["input_ids"]))
        return real(features, **kwargs)

    monkeypatch.setattr(tiny_model, "forward", counted)
    for free, expected in ((0, [2] * 25), (10**9, [50]), (2_000_000, [30, 20])):
        memory = DeviceMemory("cuda" if free else "cpu", free, tokens=64, width=130)  # 4 tokens of 8 characters: 33 kB
        monkeypatch.setattr(DeviceMemory, "of", lambda model, memory=memory: memory)
        sizes.clear()
        vectors = encode(tiny_model, texts, "document", "encoding", batch_size=2)
        np.testing.assert_allclose(vectors, tiny_model.encode(texts, normalize_embeddings=True), atol=1e-5)
        assert sizes[: len(expected)] == expected


def test_no_texts_give_no_vectors(tiny_model: SentenceTransformer) -> None:
    assert encode(tiny_model, [], "query", "encoding").shape == (0, 32)
