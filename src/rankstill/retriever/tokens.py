"""Token vectors: exact words count, which an encoder's average over a passage loses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rankstill.candidates.vectors import read_pieces, stretches
from rankstill.progress import Advance, progress

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_TEXTS_A_BATCH = 256
_ENTRY = np.dtype([("token", "<i4"), ("count", "<f4")])


def token_counts(model: SentenceTransformer, texts: Sequence[str], kind: str) -> sp.csr_matrix:
    """How often each token of the model's vocabulary stands in a text, over the square root of the text's length.

    Read as the model reads it: with its prompt and within its limit on length. Special tokens count as length alone.

    Args:
        model: whose tokenizer and prompts are used.
        texts: to count in.
        kind: "query" or "document": whose prompt to prepend.

    Returns:
        counts / sqrt(tokens). [texts, vocabulary]
    """
    with progress("counting tokens", len(texts)) as advance:
        return _count(model, texts, kind, advance)


def _count(model: SentenceTransformer, texts: Sequence[str], kind: str, advance: Advance) -> sp.csr_matrix:
    prompt = model.prompts.get(kind) or None
    special = torch.tensor(model.tokenizer.all_special_ids)
    order = sorted(range(len(texts)), key=lambda row: -len(texts[row]))  # alike in length, so that little is padding
    rows: list[NDArray[np.int64]] = []
    tokens: list[NDArray[np.int64]] = []
    lengths = np.ones(len(texts), dtype=np.float32)
    for start in range(0, len(order), _TEXTS_A_BATCH):
        batch = np.array(order[start : start + _TEXTS_A_BATCH])
        read = model.preprocess([texts[row] for row in batch], prompt=prompt, task=kind)
        held = read["attention_mask"].bool()
        lengths[batch] = held.sum(dim=1).numpy()
        held &= ~torch.isin(read["input_ids"], special)
        rows.append(np.repeat(batch, held.sum(dim=1).numpy()))
        tokens.append(read["input_ids"][held].numpy())
        advance(len(batch))
    shape = (len(texts), len(model.tokenizer))
    places = (np.concatenate(rows), np.concatenate(tokens)) if rows else (np.empty(0, int), np.empty(0, int))
    counts = sp.csr_matrix((np.ones(len(places[0]), dtype=np.float32), places), shape=shape)
    return sp.csr_matrix(sp.diags(1 / np.sqrt(lengths)) @ counts)


class TokenCounts:
    """Token counts of many texts, in a file; rows of it are read as `token_counts` gives them.

    Args:
        path: of the file, as `count_to_file` writes it.
        starts: each text's first entry, and at the end the number of all. [texts + 1]
        vocabulary: how many tokens there are.
    """

    def __init__(self, path: Path, starts: NDArray[np.int64], vocabulary: int) -> None:
        self._path = path
        self._starts = starts
        self.shape = (len(starts) - 1, vocabulary)

    def __getitem__(self, rows: NDArray[np.int64] | slice) -> sp.csr_matrix:
        starts, ends = self._starts[:-1][rows], self._starts[1:][rows]
        read = read_pieces(self._path, starts * _ENTRY.itemsize, ends * _ENTRY.itemsize).view(_ENTRY)
        first = np.append(0, np.cumsum(ends - starts))
        return sp.csr_matrix((read["count"].copy(), read["token"].copy(), first), shape=(len(starts), self.shape[1]))


def count_to_file(model: SentenceTransformer, texts: Sequence[str], kind: str, path: Path) -> TokenCounts:
    """As `token_counts`, for more texts than memory holds the counts of: 8 bytes a different token of a text on disk.

    Args:
        model: as for `token_counts`, and `texts` and `kind` too.
        texts: to count in.
        kind: "query" or "document".
        path: of the file; written anew.
    """
    held = np.zeros(len(texts) + 1, dtype=np.int64)
    with path.open("wb") as file, progress("counting tokens", len(texts)) as advance:
        for rows in stretches(len(texts)):
            counts = _count(model, list(texts[rows]), kind, advance)
            entries = np.empty(counts.nnz, dtype=_ENTRY)
            entries["token"], entries["count"] = counts.indices, counts.data
            file.write(entries.data)
            held[rows.start + 1 : rows.stop + 1] = np.diff(counts.indptr)
    return TokenCounts(path, np.cumsum(held), len(model.tokenizer))


class TokenVectors(nn.Module):
    """The sum of a text's token vectors over the square root of its length.

    The vectors start in random directions, as long as the root of the token's inverse document frequency: the inner
    product of two texts is then about their tf-idf, by Johnson and Lindenstrauss (1984), and training goes on from
    there. A token that training never meets keeps its random vector, so that a new word still matches itself.

    Args:
        passages: token counts of the corpus; read a stretch at a time. [passages, vocabulary]
        dimensions: of a vector.
        special: tokens that get no vector.
        length: of an average passage's sum at the start; that of the encoder's own part is 1.
    """

    def __init__(
        self, passages: sp.csr_matrix | TokenCounts, dimensions: int, special: Sequence[int], length: float = 1.0
    ) -> None:
        super().__init__()
        many, vocabulary = passages.shape
        held_by = torch.zeros(vocabulary, dtype=torch.long)
        for rows in stretches(many):
            held_by += torch.from_numpy(np.bincount(passages[rows].indices, minlength=vocabulary))
        idf = torch.log1p((many - held_by + 0.5) / (held_by + 0.5))  # BM25's, never below 0
        start = torch.randn(vocabulary, dimensions) * (idf.sqrt() / dimensions**0.5)[:, None]
        start[list(special)] = 0.0
        self.table = nn.Parameter(start)
        with torch.no_grad():
            norms = torch.cat([self(passages[rows]).norm(dim=1) for rows in stretches(many)])
            self.table.mul_(length / norms.mean().clamp_min(1e-6))

    def forward(self, counts: sp.csr_matrix) -> Tensor:
        """Sums over the tokens of each text. [texts, dimensions]"""
        place = self.table.device
        return nn.functional.embedding_bag(
            torch.from_numpy(counts.indices).long().to(place),
            self.table,
            torch.from_numpy(counts.indptr[:-1]).long().to(place),
            mode="sum",
            per_sample_weights=torch.from_numpy(counts.data).to(place),
        )
