"""Vectors on disk: the same as encoding at once, and a kill costs one stretch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rankstill.retrieval import dense
from rankstill.retrieval.dense import encode

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from rankstill.data import Dataset

pytestmark = pytest.mark.usefixtures("full_precision")


def test_passages_get_the_vectors_of_encoding_them_at_once(
    tiny_model: SentenceTransformer, toy_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dense, "_TEXTS_A_STRETCH", 7)
    corpus = toy_dataset.corpus
    dense.encode_passages(tiny_model, corpus, tmp_path)
    made = dense.load_vectors(tmp_path)
    np.testing.assert_allclose(made, encode(tiny_model, corpus.texts(), "document", ""), atol=1e-5)


def test_what_was_encoded_before_a_kill_is_not_encoded_again(
    tiny_model: SentenceTransformer, toy_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dense, "_TEXTS_A_STRETCH", 16)
    real, calls = dense.encode_each, []

    def until_killed(model: Any, texts: list[str], *rest: Any) -> Any:
        calls.append(len(texts))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(model, texts, *rest)

    whole = tmp_path / "whole"
    dense.encode_passages(tiny_model, toy_dataset.corpus, whole)
    monkeypatch.setattr(dense, "encode_each", until_killed)
    killed = tmp_path / "killed"
    with pytest.raises(KeyboardInterrupt):
        dense.encode_passages(tiny_model, toy_dataset.corpus, killed)
    unfinished = killed / "unfinished-passages.npy"
    with unfinished.open("ab") as file:
        file.write(b"half a stretch, as of a write that was cut short" * 40)
    dense.encode_passages(tiny_model, toy_dataset.corpus, killed)
    assert calls == [16, 16, 16, 16, 12]  # the third was not kept; two stretches were
    assert (killed / "passages.npy").read_bytes() == (whole / "passages.npy").read_bytes()
    assert not unfinished.exists()


def test_pieces_of_a_file_are_read_one_after_the_other(tmp_path: Path) -> None:
    path, held = tmp_path / "bytes", np.random.default_rng(0).integers(0, 256, 200).astype(np.uint8)
    path.write_bytes(held.tobytes())
    starts, ends = np.array([7, 10, 10, 150, 0]), np.array([10, 10, 30, 200, 3])
    expected = np.concatenate([held[start:end] for start, end in zip(starts, ends, strict=True)])
    np.testing.assert_array_equal(dense.read_pieces(path, starts, ends), expected)
    assert dense.read_pieces(path, starts[:0], ends[:0]).tolist() == []
    with path.open("r+b") as file:
        file.truncate(160)
    with pytest.raises(OSError, match="cut short"):
        dense.read_pieces(path, starts, ends)
