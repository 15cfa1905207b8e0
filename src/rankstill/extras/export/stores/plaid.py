"""Export into PLAID: an approximate index of token vectors, for corpora too large for exact MaxSim."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rankstill.errors import DataError
from rankstill.extras.export.vectors import Batch
from rankstill.packages import required
from rankstill.retrieval.late_interaction import Tokens

_PASSAGES_A_BATCH = 2_000
"""Compressed at once: fast-plaid holds them in memory, some 100 kB each."""


def to_plaid(batches: Iterable[Batch], name: str, *, location: str) -> int:
    """Write the token vectors of passages as an index of fast-plaid, with `id` and `text` as its metadata.

    An index that is there already is replaced as a whole. The vectors lie in a temporary file meanwhile, in 16 bits;
    memory holds the texts.

    Args:
        name: the index's folder, below `location`.
        location: a folder.

    Raises:
        RankstillError: fast-plaid is not installed.
        DataError: there are no passages.
    """
    import torch

    search = required("fast_plaid.search", "plaid")
    folder = Path(location) / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    metadata: list[dict[str, str]] = []
    counts: list[int] = []
    with tempfile.TemporaryFile(dir=folder.parent) as held:
        for batch in batches:
            metadata += [{"id": own, "text": text} for own, text in zip(batch.ids, batch.texts, strict=True)]
            counts += map(len, batch.tokens)
            held.write(np.concatenate(batch.tokens).astype(np.float16).data)
        if not metadata:
            raise DataError(f"{folder}: there are no passages to index.")
        held.flush()
        vectors = np.memmap(held, dtype=np.float16, mode="r+").reshape(sum(counts), -1)
        passages = list(torch.split(torch.from_numpy(vectors), counts))
        index = search.FastPlaid(index=str(folder), device="cpu")
        with contextlib.redirect_stdout(io.StringIO()):  # it prints that a database of the metadata was created
            index.create(documents_embeddings=passages, metadata=metadata, batch_size=_PASSAGES_A_BATCH)
    return len(metadata)


def plaid_search(folder: Path, queries: Sequence[Tokens], k: int) -> list[NDArray[np.int64]]:
    """The positions of each query's best passages in an index that `to_plaid` wrote, best first. Each [k]

    Args:
        queries: their token vectors, as long as they weigh. Each [tokens, dimensions]
    """
    import torch

    index = required("fast_plaid.search", "plaid").FastPlaid(index=str(folder), device="cpu")
    found = index.search([torch.from_numpy(each) for each in queries], top_k=k, show_progress=False)
    return [np.array([position for position, _ in each], dtype=np.int64) for each in found]
