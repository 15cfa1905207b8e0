"""Token vectors: counts as the model reads, and a start that is already a lexical match."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from rankstill.candidates import vectors as stretched
from rankstill.retriever.tokens import TokenVectors, count_to_file, token_counts

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def test_counts_are_those_of_what_the_model_reads_over_the_root_of_its_length(tiny_model: SentenceTransformer) -> None:
    tiny_model.prompts = {"query": "ask: ", "document": ""}
    texts = ["lava lava", "a word", "word " * 500]
    read = [tiny_model.tokenizer("ask: " + text, truncation=True, max_length=128)["input_ids"] for text in texts]
    counts = token_counts(tiny_model, texts, "query")
    expected = np.zeros((3, len(tiny_model.tokenizer)))
    for row, ids in enumerate(read):
        np.add.at(expected[row], ids[1:-1], 1 / len(ids) ** 0.5)  # without [CLS] and [SEP]
    np.testing.assert_allclose(counts.toarray(), expected, rtol=1e-6)
    assert len(read[2]) == 128


def test_no_text_gives_no_row(tiny_model: SentenceTransformer) -> None:
    assert token_counts(tiny_model, [], "query").shape == (0, len(tiny_model.tokenizer))


def test_the_start_is_about_tf_idf() -> None:
    draw = np.random.default_rng(0)
    passages = sp.csr_matrix(draw.poisson(0.1, size=(200, 150)).astype(np.float32))
    torch.manual_seed(0)
    vectors = TokenVectors(passages, 4096, special=[])
    with torch.no_grad():
        sums = vectors(passages).numpy()
    held_by = (passages.toarray() > 0).sum(axis=0)
    idf = np.log(1 + (200 - held_by + 0.5) / (held_by + 0.5))
    tf_idf = (passages.toarray() * idf) @ passages.toarray().T
    assert np.corrcoef((sums @ sums.T).ravel(), tf_idf.ravel())[0, 1] > 0.98
    assert np.linalg.norm(sums, axis=1).mean() == pytest.approx(1.0, rel=1e-4)


def test_special_tokens_say_nothing_and_unseen_ones_match_themselves() -> None:
    passages = sp.csr_matrix(np.float32([[1, 1, 0, 0], [1, 0, 1, 0]]))
    vectors = TokenVectors(passages, 64, special=[0])
    with torch.no_grad():
        special, unseen = vectors(sp.csr_matrix(np.float32([[3, 0, 0, 0], [0, 0, 0, 1]])))
    assert special.abs().sum() == 0
    assert unseen.norm() > vectors(passages).norm(dim=1).min()


def test_counts_in_a_file_are_those_in_memory_and_start_the_same_vectors(
    tiny_model: SentenceTransformer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["lava lava", "", "a word of lava", "word " * 500, "magma"]
    held = token_counts(tiny_model, texts, "document")
    monkeypatch.setattr(stretched, "_TEXTS_A_STRETCH", 2)
    filed = count_to_file(tiny_model, texts, "document", tmp_path / "counts")
    assert filed.shape == held.shape
    for rows in (np.array([4, 0, 1, 3, 3]), np.arange(5), np.array([1]), np.empty(0, dtype=int), slice(2, 4)):
        np.testing.assert_array_equal(filed[rows].toarray(), held[rows].toarray())
    tables = []
    for counts in (held, filed):
        torch.manual_seed(0)
        tables.append(TokenVectors(counts, 8, special=[0]).table)
    assert torch.equal(*tables)
