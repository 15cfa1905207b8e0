"""Token vectors: exact words count, which an encoder's average over a passage loses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rankstill.progress import progress

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_TEXTS_A_BATCH = 256


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
    prompt = model.prompts.get(kind) or None
    special = torch.tensor(model.tokenizer.all_special_ids)
    order = sorted(range(len(texts)), key=lambda row: -len(texts[row]))  # alike in length, so that little is padding
    rows: list[NDArray[np.int64]] = []
    tokens: list[NDArray[np.int64]] = []
    lengths = np.ones(len(texts), dtype=np.float32)
    with progress("counting tokens", len(texts)) as advance:
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


class TokenVectors(nn.Module):
    """The sum of a text's token vectors over the square root of its length.

    The vectors start in random directions, as long as the root of the token's inverse document frequency: the inner
    product of two texts is then about their tf-idf, by Johnson and Lindenstrauss (1984), and training goes on from
    there. A token that training never meets keeps its random vector, so that a new word still matches itself.

    Args:
        passages: token counts of the corpus, as `token_counts` gives them. [passages, vocabulary]
        dimensions: of a vector.
        special: tokens that get no vector.
        length: of an average passage's sum at the start; that of the encoder's own part is 1.
    """

    def __init__(self, passages: sp.csr_matrix, dimensions: int, special: Sequence[int], length: float = 1.0) -> None:
        super().__init__()
        vocabulary = passages.shape[1]
        held_by = torch.from_numpy(np.bincount(passages.indices, minlength=vocabulary))
        idf = torch.log1p((passages.shape[0] - held_by + 0.5) / (held_by + 0.5))  # BM25's, never below 0
        start = torch.randn(vocabulary, dimensions) * (idf.sqrt() / dimensions**0.5)[:, None]
        start[list(special)] = 0.0
        self.table = nn.Parameter(start)
        with torch.no_grad():
            self.table.mul_(length / self(passages).norm(dim=1).mean().clamp_min(1e-6))

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
