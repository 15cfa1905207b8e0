"""The token vectors of a corpus on disk, and exact MaxSim over them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rankstill.candidates.vectors import read_pieces
from rankstill.compute.memory import Room, release_memory
from rankstill.compute.precision import autocast
from rankstill.multi_vector.codes import Bits, Codec
from rankstill.multi_vector.model import encoder_in_bfloat16
from rankstill.progress import progress
from rankstill.workspace import write_atomically

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder
    from torch import Tensor

Tokens = NDArray[np.float32]
"""The token vectors of one text. [tokens, dimensions]"""

_TEXTS_A_STRETCH = 1024
_TOKENS_A_BLOCK = 16_384
_QUERY_TOKENS_A_BLOCK = 1024
_DONE = "index.json"


@dataclass(frozen=True)
class TokenIndex:
    """Token vectors of passages, a few bits a dimension, and each passage's MaxSim with a query.

    Args:
        folder: of the files.
        starts: each passage's first vector, and at the end the number of all. [passages + 1]
        codec: of the vectors.
    """

    folder: Path
    starts: NDArray[np.int64]
    codec: Codec

    @classmethod
    def load(cls, folder: Path) -> TokenIndex:
        """As `encode` wrote it."""
        held = json.loads((folder / _DONE).read_text(encoding="utf-8"))
        counts = np.fromfile(folder / "counts", dtype="<i4")
        return cls(folder, np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]), Codec(**held))

    @classmethod
    def encode(cls, model: MultiVectorEncoder, passages: Sequence[str], folder: Path, bits: Bits = 8) -> TokenIndex:
        """Write the token vectors of passages. Memory stays flat; what an interrupted call finished is kept.

        Args:
            model: encodes them.
            passages: their texts.
            folder: made if it is not there.
            bits: of a dimension.
        """
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / _DONE).exists():
            size = model.encode_document("any text").shape[1]  # it names none where it has routes
            codec = Codec(bits if size % 4 == 0 else 8, size)
            _write(model, passages, folder, codec)
            write_atomically(folder / _DONE, json.dumps(asdict(codec)) + "\n")
        return cls.load(folder)

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def bytes_per_passage(self) -> float:
        """On disk, on average."""
        return float(self.starts[-1]) * (self.codec.size + 2) / max(1, len(self))

    def vectors(self, positions: NDArray[np.int64]) -> list[Tokens]:
        """The token vectors of some passages, as they lie on disk. Each [tokens, dimensions]"""
        held, counts = self._vectors(positions, "cpu")
        return np.split(held.numpy(), counts.cumsum(0)[:-1].tolist())

    def scores(self, queries: Sequence[Tokens], device: str = "cpu") -> Iterator[NDArray[np.float32]]:
        """MaxSim of each query and every passage; exact but for the rounding of passages' vectors.

        Args:
            queries: their token vectors. Each [tokens, dimensions]
            device: where products are computed.

        Yields:
            For each query, in order: a score a passage, -inf for one without tokens. [passages]
        """
        for rows in _together([len(query) for query in queries], _QUERY_TOKENS_A_BLOCK):
            yield from self._scores(queries[rows], device)

    def scores_of(
        self, queries: Sequence[Tokens], positions: Sequence[NDArray[np.int64]], device: str = "cpu"
    ) -> Iterator[NDArray[np.float32]]:
        """As `scores`, of some passages of each query alone.

        Args:
            queries: their token vectors. Each [tokens, dimensions]
            positions: of each query's passages in the corpus. Each [passages]
            device: where products are computed.
        """
        for query, wanted in zip(queries, positions, strict=True):
            yield self._maxsim([query], wanted, device)[0]

    def _scores(self, queries: Sequence[Tokens], device: str) -> NDArray[np.float32]:
        found = np.empty((len(queries), len(self)), dtype=np.float32)
        for rows in _together(np.diff(self.starts).tolist(), _TOKENS_A_BLOCK):
            found[:, rows] = self._maxsim(queries, np.arange(rows.start, rows.stop), device)
        return found

    def _maxsim(self, queries: Sequence[Tokens], positions: NDArray[np.int64], device: str) -> NDArray[np.float32]:
        """[queries, passages]"""
        import torch

        asked = torch.from_numpy(np.concatenate(queries)).to(device)
        query_of = torch.from_numpy(np.repeat(np.arange(len(queries)), [len(each) for each in queries])).to(device)
        passages, counts = self._vectors(positions, device)
        with autocast(device):
            products = passages @ asked.T
        sums = torch.zeros(len(queries), len(positions), device=device)
        sums.index_add_(0, query_of, _highest(products.float(), counts).T.contiguous())
        found: NDArray[np.float32] = sums.masked_fill(counts == 0, float("-inf")).cpu().numpy()
        return found

    def _vectors(self, positions: NDArray[np.int64], device: str) -> tuple[Tensor, Tensor]:
        """Vectors of some passages' tokens [tokens, dimensions], and how many tokens each has [passages]."""
        import torch

        firsts, ends = self.starts[positions], self.starts[positions + 1]
        size = self.codec.size
        codes = read_pieces(self.folder / "codes", firsts * size, ends * size).reshape(-1, size)
        scales = read_pieces(self.folder / "scales", firsts * 2, ends * 2).view("<f2")
        vectors = self.codec.decode(*(torch.from_numpy(each).to(device) for each in (codes, scales)))
        return vectors, torch.from_numpy(ends - firsts).to(device)


@dataclass(frozen=True)
class MeanMaxSim:
    """Late interaction as a score of the first stage: MaxSim over the sum of the query's weights, at most 1.

    Args:
        model: encodes queries.
        index: the passages' token vectors.
    """

    model: MultiVectorEncoder
    index: TokenIndex

    def encode(self, queries: Sequence[str]) -> list[Tokens]:
        """See `encode_queries`."""
        return encode_queries(self.model, queries)

    def mean_maxsim(self, tokens: Tokens, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Of one query's tokens and some passages; 0 for a passage or a query without tokens. [passages]"""
        (found,) = self.index.scores_of([tokens], [positions], str(self.model.device))
        return mean_of(tokens, found)


def mean_of(query: Tokens, maxsim: NDArray[np.float32]) -> NDArray[np.float32]:
    """MaxSim with a query's tokens over the sum of their weights, which are their vectors' lengths. [passages]"""
    weight = max(float(np.linalg.norm(query, axis=1).sum()), 1e-9)
    return np.where(np.isfinite(maxsim), maxsim / weight, 0.0).astype(np.float32)


def encode_queries(model: MultiVectorEncoder, queries: Sequence[str]) -> list[Tokens]:
    """The token vectors of queries, as long as their tokens' weights. Each [tokens, dimensions]"""
    with encoder_in_bfloat16(model):
        encoded = model.encode_query(list(queries), batch_size=128, show_progress_bar=False, convert_to_numpy=True)
    return [np.asarray(each, dtype=np.float32) for each in encoded]


def _write(model: MultiVectorEncoder, passages: Sequence[str], folder: Path, codec: Codec) -> None:
    room = Room.of(model)
    with (
        (folder / "counts").open("a+b") as counts,
        (folder / "scales").open("a+b") as scales,
        (folder / "codes").open("a+b") as codes,
        progress("encoding passages, token by token", len(passages)) as advance,
        encoder_in_bfloat16(model),
    ):
        counts.seek(0)
        finished = np.frombuffer(counts.read(), dtype="<i4")
        done = len(finished) // _TEXTS_A_STRETCH * _TEXTS_A_STRETCH
        tokens = int(finished[:done].sum())
        # Counts are written last: what is beyond them belongs to a stretch that was cut short.
        for file, size in ((counts, 4 * done), (scales, 2 * tokens), (codes, codec.size * tokens)):
            file.truncate(size)
        advance(done)
        for start in range(done, len(passages), _TEXTS_A_STRETCH):
            texts = list(passages[start : start + _TEXTS_A_STRETCH])
            together = room.texts_a_pass(max(map(len, texts)), 32)
            encoded = model.encode_document(texts, batch_size=together, show_progress_bar=False, convert_to_numpy=True)
            vectors = np.concatenate([np.asarray(each, dtype=np.float32) for each in encoded])
            held, scale = codec.encode(vectors)
            codes.write(held.data)
            scales.write(scale.data)
            codes.flush()
            scales.flush()
            counts.write(np.array([len(each) for each in encoded], dtype="<i4").data)
            counts.flush()
            release_memory()
            advance(len(texts))


def _highest(products: Tensor, counts: Tensor) -> Tensor:
    """The highest product of each passage's tokens with each of the queries'.

    Args:
        products: [passages' tokens, queries' tokens]
        counts: tokens of each passage. [passages]

    Returns:
        [passages, queries' tokens]
    """
    import torch

    if products.device.type == "cpu" and bool(counts.all()):
        firsts = (counts.cumsum(0) - counts).numpy()
        return torch.from_numpy(np.maximum.reduceat(products.numpy(), firsts, axis=0))
    highest: Tensor = torch.segment_reduce(products, "max", lengths=counts, axis=0)
    return highest


def _together(sizes: Sequence[int], most: int) -> Iterator[slice]:
    """Neighbours whose sizes add up to `most` at most, or single ones that are larger."""
    start, held = 0, 0
    for row, size in enumerate(sizes):
        if row > start and held + size > most:
            yield slice(start, row)
            start, held = row, 0
        held += size
    if start < len(sizes):
        yield slice(start, len(sizes))
