"""A multi-vector encoder made from a bi-encoder: what its vectors are, and that it loads without this package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from rankstill.compute.principal_axes import principal_axes
from rankstill.errors import ModelError
from rankstill.models import load_bi_encoder, load_multi_vector, save_model
from rankstill.multi_vector import inverse_document_frequency, multi_vector_encoder
from rankstill.multi_vector.model import has_token_vectors, shortened

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

pytestmark = pytest.mark.usefixtures("full_precision")

PASSAGES = ["magma of the volcano", "the violin and the conductor follow the score", "yeast"]


def weights_of(model: SentenceTransformer) -> np.ndarray:
    return np.linspace(0.5, 2.0, len(model.tokenizer)).astype(np.float32)


def hidden(model: SentenceTransformer, text: str) -> tuple[list[int], torch.Tensor]:
    """Token ids and the encoder's own vectors, special tokens at both ends."""
    found = model.encode([text], output_value=None)[0]
    return found["input_ids"].tolist(), found["token_embeddings"].float().cpu()


def unit(vectors: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(vectors, dim=1)


def test_without_context_a_passage_s_vectors_are_those_of_the_encoder_s_tokens(tiny_model: SentenceTransformer) -> None:
    model = multi_vector_encoder(tiny_model, weights_of(tiny_model), 0.0)
    for text, made in zip(PASSAGES, model.encode_document(PASSAGES), strict=True):
        _, vectors = hidden(tiny_model, text)
        torch.testing.assert_close(made, unit(vectors[1:-1]), atol=1e-5, rtol=0)


def test_context_adds_the_mean_of_the_text_to_each_token(tiny_model: SentenceTransformer) -> None:
    model = multi_vector_encoder(tiny_model, weights_of(tiny_model), 1.5)
    for text, made in zip(PASSAGES, model.encode_document(PASSAGES), strict=True):
        _, vectors = hidden(tiny_model, text)
        mixed = vectors + 1.5 * vectors.mean(dim=0)
        expected = unit((mixed - mixed.mean(dim=1, keepdim=True))[1:-1])
        torch.testing.assert_close(made, expected, atol=1e-4, rtol=0)


def test_a_query_s_vectors_are_as_long_as_their_tokens_weigh(tiny_model: SentenceTransformer) -> None:
    weights = weights_of(tiny_model)
    model = multi_vector_encoder(tiny_model, weights, 1.0)
    for text, made in zip(PASSAGES, model.encode_query(PASSAGES), strict=True):
        ids, _ = hidden(tiny_model, text)
        np.testing.assert_allclose(made.norm(dim=1).tolist(), weights[ids[1:-1]], atol=1e-4)


def test_shorter_vectors_are_coordinates_along_the_longest_axes(
    tiny_model: SentenceTransformer, tmp_path: Path
) -> None:
    whole = multi_vector_encoder(tiny_model, weights_of(tiny_model), 0.0, pooling=1.0)
    vectors = np.concatenate(whole.encode_document(PASSAGES, convert_to_numpy=True))
    axes = principal_axes(vectors)
    turned = shortened(whole, axes)
    torch.testing.assert_close(
        turned.similarity(turned.encode_query(["magma"]), turned.encode_document(PASSAGES)),
        whole.similarity(whole.encode_query(["magma"]), whole.encode_document(PASSAGES)),
    )
    save_model(shortened(whole, axes[:8]), tmp_path / "short")
    short = load_multi_vector(str(tmp_path / "short"), "cpu")
    for before, made in zip(whole.encode_document(PASSAGES), short.encode_document(PASSAGES), strict=True):
        torch.testing.assert_close(made, unit(before @ torch.from_numpy(axes[:8].T)), atol=1e-5, rtol=0)
    for before, made in zip(whole.encode_query(PASSAGES), short.encode_query(PASSAGES), strict=True):
        torch.testing.assert_close(made.norm(dim=1), before.norm(dim=1), atol=1e-4, rtol=0)


def test_the_bi_encoder_stays_as_it_is(tiny_model: SentenceTransformer) -> None:
    before = {name: weight.clone() for name, weight in tiny_model.state_dict().items()}
    layers = len(tiny_model[0].auto_model.encoder.layer)
    multi_vector_encoder(tiny_model, weights_of(tiny_model), 1.0)
    assert len(tiny_model[0].auto_model.encoder.layer) == layers
    for name, weight in tiny_model.state_dict().items():
        assert torch.equal(weight, before[name])


def test_it_loads_in_plain_sentence_transformers(tiny_model: SentenceTransformer, tmp_path: Path) -> None:
    model = multi_vector_encoder(tiny_model, weights_of(tiny_model), 1.0)
    save_model(model, tmp_path / "m")
    expected = model.similarity(model.encode_query(["lava"]), model.encode_document(PASSAGES))
    alone = (
        "import sys; sys.modules['rankstill'] = None\n"
        "from sentence_transformers import MultiVectorEncoder\n"
        f"model = MultiVectorEncoder({str(tmp_path / 'm')!r}, device='cpu')\n"
        f"print(model.similarity(model.encode_query(['lava']), model.encode_document({PASSAGES!r})).tolist())\n"
    )
    said = subprocess.run([sys.executable, "-c", alone], capture_output=True, text=True, check=True).stdout
    np.testing.assert_allclose(eval(said.splitlines()[-1]), expected.tolist(), atol=1e-4)
    again = load_multi_vector(str(tmp_path / "m"), "cpu")
    torch.testing.assert_close(again.encode_document(PASSAGES)[1], model.encode_document(PASSAGES)[1])


def test_a_distilled_retriever_can_be_made_one_of(tiny_model_folder: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Router

    plain = load_bi_encoder(str(tiny_model_folder), "cpu")
    routed = SentenceTransformer(modules=[Router.for_query_document([*plain], [*plain])], device="cpu")
    weights = weights_of(plain)
    expected = multi_vector_encoder(plain, weights, 1.0).encode_document(PASSAGES)
    made = multi_vector_encoder(routed, weights, 1.0).encode_document(PASSAGES)
    torch.testing.assert_close(made[1], expected[1])


def test_a_model_without_token_vectors_is_told_from_one_with() -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    static = StaticEmbedding(Tokenizer(WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]")), embedding_dim=4)
    model = SentenceTransformer(modules=[static], device="cpu")
    assert not has_token_vectors(model)
    with pytest.raises(ModelError, match="no token vectors"):
        multi_vector_encoder(model, np.ones(2, dtype=np.float32), 0.0)


def test_inverse_document_frequency_is_that_of_bm25(tiny_model: SentenceTransformer) -> None:
    idf = inverse_document_frequency(tiny_model, ["the lava", "the lava lava", "the yeast", "the"])
    number = tiny_model.tokenizer.convert_tokens_to_ids
    expected = {"the": np.log1p(0.5 / 4.5), "lava": np.log1p(2.5 / 2.5), "yeast": np.log1p(3.5 / 1.5)}
    assert {word: float(idf[number(word)]) for word in expected} == pytest.approx(expected, rel=1e-5)
    assert float(idf[number("violin")]) == pytest.approx(np.log1p(4.5 / 0.5), rel=1e-5)
