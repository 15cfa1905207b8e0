"""The head: what is put on top of the encoder's vectors, and how it becomes part of a sentence-transformers model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rankstill.candidates.search import read_rows
from rankstill.candidates.vectors import pick_rows, stretches, write_vectors
from rankstill.progress import Advance
from rankstill.retriever.adapter import PassageAdapter
from rankstill.retriever.tokens import TokenCounts, TokenVectors

if TYPE_CHECKING:
    import scipy.sparse as sp
    from sentence_transformers import SentenceTransformer


_TEXTS_A_BATCH = 256


@dataclass(frozen=True)
class Encoded:
    """Texts as the head sees them.

    Args:
        vectors: the encoder's unit vectors, in memory or memory-mapped. [texts, dimensions]
        counts: as `token_counts` gives them, or in a file; None where there are no token vectors. [texts, vocabulary]
    """

    vectors: NDArray[np.float32]
    counts: sp.csr_matrix | TokenCounts | None = None

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, rows: NDArray[np.int64]) -> Encoded:
        return Encoded(pick_rows(self.vectors, rows), None if self.counts is None else self.counts[rows])


class Head(nn.Module):
    """Unit vectors from the encoder's: passages through an adapter, and token vectors beside them for both.

    Args:
        adapter: moves passages; None leaves them where the encoder puts them.
        tokens: are put beside the encoder's vector; None for none.
    """

    def __init__(self, adapter: PassageAdapter | None, tokens: TokenVectors | None) -> None:
        super().__init__()
        self.adapter = adapter
        self.tokens = tokens

    def queries(self, texts: Encoded) -> Tensor:
        """Unit vectors of queries. [texts, dimensions + token dimensions]"""
        return self._beside(self._on_device(texts), texts.counts)

    def passages(self, texts: Encoded) -> tuple[Tensor, Tensor]:
        """Unit vectors of passages, and by how much the adapter moved each, squared.

        Returns:
            [texts, dimensions + token dimensions], [texts]
        """
        before = self._on_device(texts)
        after = before if self.adapter is None else self.adapter(before)
        return self._beside(after, texts.counts), (after - before).square().sum(dim=1)

    def _on_device(self, texts: Encoded) -> Tensor:
        place = next(self.parameters()).device
        return torch.from_numpy(np.ascontiguousarray(texts.vectors)).to(place)

    def _beside(self, vectors: Tensor, counts: sp.csr_matrix | None) -> Tensor:
        if self.tokens is None or counts is None:
            return vectors
        return nn.functional.normalize(torch.cat([vectors, self.tokens(counts)], dim=1), dim=1)


def with_head(model: SentenceTransformer, head: Head) -> SentenceTransformer:
    """The encoder with the head on top: a plain sentence-transformers model, which loads without this package.

    The encoder and the token vectors stand in the folder once and are loaded once, for queries and passages both.
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize, Router

    encoder: list[nn.Module] = [*model, Normalize()]
    adapter = head.adapter.as_modules() if head.adapter is not None else []
    beside = _token_modules(model, head.tokens) if head.tokens is not None else []
    both = Router.for_query_document([*encoder, *beside], [*encoder, *adapter, *beside], default_route="document")
    complete = SentenceTransformer(modules=[both], device=str(model.device), prompts=dict(model.prompts))
    complete.similarity_fn_name = "cosine"
    return complete.eval()


def carry_through_head(
    model: SentenceTransformer,
    encoder: SentenceTransformer,
    texts: Sequence[str],
    vectors: NDArray[np.float32],
    path: Path,
) -> None:
    """Write the vectors of passages whose encoder's vectors are known: the head's work alone, which takes seconds.

    They become a NumPy file of unit vectors [passages, dimensions + token dimensions], a stretch at a time; whole
    stretches survive a kill.

    Args:
        model: as `with_head` made it of the encoder, or loaded again.
        encoder: that made the vectors.
        texts: the passages.
        vectors: the encoder's, in memory or memory-mapped. [passages, dimensions]
        path: of the file.
    """

    def carried(done: int, advance: Advance) -> Iterator[NDArray[np.float32]]:
        for rows in stretches(len(texts), done):
            known = read_rows(vectors, rows.start, rows.stop)
            yield _carry(model, len(encoder), list(texts[rows]), known, advance)

    shape = (len(texts), int(model.get_embedding_dimension() or 0))
    write_vectors(path, shape, "carrying passages through the head", carried)


@torch.inference_mode()
def _carry(
    model: SentenceTransformer, modules: int, texts: list[str], vectors: NDArray[np.float32], advance: Advance
) -> NDArray[np.float32]:
    """As `carry_through_head`, for one stretch; `modules`: how many the encoder has."""
    head = list(model[0].sub_modules["document"])[modules + 1 :]  # those of the encoder and `Normalize` come first
    prompt = model.prompts.get("document") or None
    carried = np.empty((len(texts), int(model.get_embedding_dimension() or 0)), dtype=np.float32)
    for start in range(0, len(texts), _TEXTS_A_BATCH):
        rows = slice(start, start + _TEXTS_A_BATCH)
        read = model.preprocess(texts[rows], prompt=prompt, task="document")
        features = {**read, "sentence_embedding": torch.from_numpy(vectors[rows])}
        features = {
            name: value.to(model.device) if isinstance(value, Tensor) else value for name, value in features.items()
        }
        for module in head:
            features = module(features)
        carried[rows] = features["sentence_embedding"].float().cpu().numpy()
        advance(len(texts[rows]))
    return carried


def _token_modules(model: SentenceTransformer, tokens: TokenVectors) -> list[nn.Module]:
    """Token vectors beside the encoder's vector, from sentence-transformers' own modules.

    There is no module that puts one vector beside another, but `Pooling` puts the vector of the first token beside a
    sum over all tokens: so the encoder's vector is handed to it as if it were the first token's.
    """
    from sentence_transformers.base.modules import Dense, Normalize
    from sentence_transformers.sentence_transformer.modules import Pooling, WordEmbeddings

    dimensions = model.get_embedding_dimension()
    both = dimensions + tokens.table.shape[1]
    lookup = WordEmbeddings(model.tokenizer, tokens.table.detach().cpu())
    hand_on = Dense(
        dimensions,
        dimensions,
        bias=False,
        activation_function=nn.Identity(),
        init_weight=torch.eye(dimensions),
        module_output_name="cls_token_embeddings",
    )
    # Told half the width, for it reports as many dimensions for each of its two modes.
    beside = Pooling(embedding_dimension=both // 2, pooling_mode=("cls", "mean_sqrt_len_tokens"))
    return [lookup, hand_on, beside, Normalize()]
