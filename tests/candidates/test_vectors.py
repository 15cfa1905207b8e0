"""Vectors on disk: the same as encoding at once, and a kill costs one stretch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rankstill.candidates import PassageVectors, encode_corpus, vectors
from rankstill.candidates.dense import encode, sentences

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from rankstill.datasets import Dataset

pytestmark = pytest.mark.usefixtures("full_precision")


def test_passages_and_sentences_get_the_vectors_of_encoding_them_at_once(
    tiny_model: SentenceTransformer, toy_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors, "_TEXTS_A_STRETCH", 7)
    corpus = toy_dataset.corpus
    encode_corpus(tiny_model, corpus, tmp_path)
    made = PassageVectors.load(tmp_path)
    pieces = [sentences(*each) for each in zip(corpus.titles, corpus.bodies, strict=True)]
    each = [text for piece in pieces for text in piece]
    np.testing.assert_allclose(made.passages, encode(tiny_model, corpus.texts(), "document", ""), atol=1e-5)
    np.testing.assert_allclose(made.sentences, encode(tiny_model, each, "document", ""), atol=1e-5)
    assert np.diff(made.starts).tolist() == [len(piece) for piece in pieces]


def test_what_was_encoded_before_a_kill_is_not_encoded_again(
    tiny_model: SentenceTransformer, toy_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors, "_TEXTS_A_STRETCH", 16)
    real, calls = vectors.encode_each, []

    def until_killed(model: Any, texts: list[str], *rest: Any) -> Any:
        calls.append(len(texts))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(model, texts, *rest)

    whole = tmp_path / "whole"
    vectors.encode_passages(tiny_model, toy_dataset.corpus, whole)
    monkeypatch.setattr(vectors, "encode_each", until_killed)
    killed = tmp_path / "killed"
    with pytest.raises(KeyboardInterrupt):
        vectors.encode_passages(tiny_model, toy_dataset.corpus, killed)
    unfinished = killed / "unfinished-passages.npy"
    with unfinished.open("ab") as file:
        file.write(b"half a stretch, as of a write that was cut short" * 40)
    vectors.encode_passages(tiny_model, toy_dataset.corpus, killed)
    assert calls == [16, 16, 16, 16, 12]  # the third was not kept; two stretches were
    assert (killed / "passages.npy").read_bytes() == (whole / "passages.npy").read_bytes()
    assert not unfinished.exists()


def test_rows_are_picked_from_a_file_as_from_memory(tmp_path: Path) -> None:
    held = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    np.save(tmp_path / "v.npy", held)
    mapped = np.load(tmp_path / "v.npy", mmap_mode="r")
    for rows in (np.array([7, 8, 9, 2, 2, 49, 0]), np.arange(50), np.array([3]), np.empty(0, dtype=np.int64)):
        np.testing.assert_array_equal(vectors.pick_rows(mapped, rows), held[rows])
    with (tmp_path / "v.npy").open("r+b") as file:
        file.truncate(300)
    with pytest.raises(OSError, match="cut short"):
        vectors.pick_rows(mapped, np.array([0, 49]))
