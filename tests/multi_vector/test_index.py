"""Token vectors on disk, and MaxSim over them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rankstill.models import load_multi_vector, save_model
from rankstill.multi_vector import TokenIndex, encode_queries, index, multi_vector_encoder
from rankstill.multi_vector.codes import Bits, Codec

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder, SentenceTransformer

    from rankstill.datasets import Dataset

pytestmark = pytest.mark.usefixtures("full_precision")

QUERIES = ["how does magma of the volcano change", "", "yeast and flour"]


@pytest.fixture
def model(tiny_model: SentenceTransformer) -> MultiVectorEncoder:
    return multi_vector_encoder(tiny_model, np.ones(len(tiny_model.tokenizer), dtype=np.float32), 1.0)


def test_scores_are_the_library_s_maxsim(model: MultiVectorEncoder, toy_dataset: Dataset, tmp_path: Path) -> None:
    texts = list(toy_dataset.corpus.texts())
    made = TokenIndex.encode(model, texts, tmp_path)
    expected = model.similarity(model.encode_query(QUERIES), model.encode_document(texts)).numpy()
    asked = encode_queries(model, QUERIES)
    got = np.stack(list(made.scores(asked)))
    np.testing.assert_allclose(got, expected, atol=0.02 * 8)  # a byte a dimension
    assert np.abs(got - expected).mean() < 0.01
    wanted = [np.array([5, 0, 59]), np.array([3]), np.array([], dtype=np.int64)]
    for scores, chosen, given in zip(got, wanted, made.scores_of(asked, wanted), strict=True):
        np.testing.assert_allclose(given, scores[chosen], atol=1e-5)


@pytest.mark.parametrize(("bits", "off"), [(4, 0.05), (2, 0.2)])
def test_fewer_bits_take_less_space_and_change_scores_a_little(
    bits: Bits, off: float, model: MultiVectorEncoder, toy_dataset: Dataset, tmp_path: Path
) -> None:
    texts = list(toy_dataset.corpus.texts())
    whole = TokenIndex.encode(model, texts, tmp_path / "8")
    small = TokenIndex.encode(model, texts, tmp_path / str(bits), bits)
    assert small.bytes_per_passage / whole.bytes_per_passage == pytest.approx((32 * bits / 8 + 2) / 34)
    assert TokenIndex.load(tmp_path / str(bits)).codec == small.codec
    asked = encode_queries(model, [QUERIES[0], QUERIES[2]])
    for one, other in zip(whole.scores(asked), small.scores(asked), strict=True):
        assert (np.abs(one - other) < off * one).all()


def test_pooling_keeps_a_share_of_a_passage_s_vectors_and_all_of_a_query_s(
    tiny_model: SentenceTransformer, model: MultiVectorEncoder, toy_dataset: Dataset, tmp_path: Path
) -> None:
    texts = list(toy_dataset.corpus.texts())
    pooled = multi_vector_encoder(tiny_model, np.ones(len(tiny_model.tokenizer), dtype=np.float32), 1.0, pooling=2.0)
    save_model(pooled, tmp_path / "m")
    again = load_multi_vector(str(tmp_path / "m"), "cpu")
    for one, other in zip(model.encode_document(texts), again.encode_document(texts), strict=True):
        assert len(other) == max(1, len(one) // 2)
        np.testing.assert_allclose(other.norm(dim=1), 1, atol=1e-5)
    np.testing.assert_allclose(again.encode_query(QUERIES)[0], model.encode_query(QUERIES)[0], atol=1e-5)


def test_a_pooled_retriever_is_encoded_in_bfloat16_where_the_machine_has_it(
    tiny_model: SentenceTransformer, toy_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = list(toy_dataset.corpus.texts())
    pooled = multi_vector_encoder(tiny_model, np.ones(len(tiny_model.tokenizer), dtype=np.float32), 1.0, pooling=2.0)
    made = {}
    for native in (False, True):
        monkeypatch.setattr("rankstill.compute.precision.fast_precision", lambda device, native=native: native)
        index = TokenIndex.encode(pooled, texts, tmp_path / str(native))
        made[native] = next(index.scores(encode_queries(pooled, QUERIES[:1])))
    assert 0 < np.abs(made[True] - made[False]).max() < 0.1 * np.abs(made[False]).max()


def test_blocks_do_not_change_scores(
    model: MultiVectorEncoder, toy_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = TokenIndex.encode(model, toy_dataset.corpus.texts(), tmp_path)
    asked = encode_queries(model, QUERIES * 3)
    whole = np.stack(list(made.scores(asked)))
    monkeypatch.setattr(index, "_TOKENS_A_BLOCK", 100)
    monkeypatch.setattr(index, "_QUERY_TOKENS_A_BLOCK", 10)
    np.testing.assert_allclose(np.stack(list(made.scores(asked))), whole, atol=1e-5)


@pytest.mark.parametrize("tokens", [3, 90])  # of a query: few numbers a passage, and many
def test_maxsim_is_that_of_plain_numpy_for_passages_of_any_length(tokens: int, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    passages = [draw.standard_normal((length, 8), dtype=np.float32) for length in (50, 1, 0, 120, 64)]
    queries = [draw.standard_normal((tokens, 8), dtype=np.float32) for _ in range(2)]
    made = TokenIndex.write(tmp_path, len(passages), Codec.of(8, 8), "writing", lambda rows: passages[rows])
    kept = made.vectors(np.arange(len(passages)))
    for query, scores in zip(queries, made.scores(queries), strict=True):
        expected = [(query @ passage.T).max(axis=1).sum() if len(passage) else -np.inf for passage in kept]
        np.testing.assert_allclose(scores, expected, atol=0.02 * tokens)  # products are of bfloat16


def test_a_passage_without_tokens_is_never_found(model: MultiVectorEncoder, tmp_path: Path) -> None:
    made = TokenIndex.encode(model, ["lava", "", "yeast", ""], tmp_path)
    (scores,) = made.scores(encode_queries(model, ["lava"]))
    assert np.isneginf(scores).tolist() == [False, True, False, True]
    assert scores[0] > scores[2]


def test_a_kill_costs_one_stretch(
    model: MultiVectorEncoder, toy_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "_TEXTS_A_STRETCH", 16)
    texts = list(toy_dataset.corpus.texts())
    whole = TokenIndex.encode(model, texts, tmp_path / "whole")
    real, calls = model.encode_document, []

    def until_killed(asked: Any, **given: Any) -> Any:
        calls.append(len(asked))
        if len(calls) == 4:  # the first looks how long a vector is
            raise KeyboardInterrupt
        return real(asked, **given)

    monkeypatch.setattr(model, "encode_document", until_killed)
    killed = tmp_path / "killed"
    with pytest.raises(KeyboardInterrupt):
        TokenIndex.encode(model, texts, killed)
    with (killed / "codes").open("ab") as file:
        file.write(b"half a stretch, as of a write that was cut short")
    made = TokenIndex.encode(model, texts, killed)
    assert calls[1:4] == [16, 16, 16]
    assert calls[5:] == [16, 12]  # the third was not kept; two stretches were
    for name in ("codes", "scales", "counts"):
        assert (killed / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert made.bytes_per_passage == whole.bytes_per_passage == pytest.approx(np.diff(whole.starts).mean() * 34)
