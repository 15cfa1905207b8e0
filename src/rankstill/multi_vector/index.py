"""The token vectors of a corpus on disk, and exact MaxSim over them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rankstill.compute.compiled import compiled
from rankstill.compute.memory import DeviceMemory, release_memory
from rankstill.compute.precision import fast_precision
from rankstill.multi_vector.codes import Bits, Codec
from rankstill.progress import progress
from rankstill.retrieval.dense import read_pieces
from rankstill.retrieval.late_interaction import Tokens, encode_queries, encoder_in_bfloat16, mean_of
from rankstill.workspace import write_atomically

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder
    from torch import Tensor


_TEXTS_A_STRETCH = 256
_TOKENS_A_BLOCK = 16_384
_QUERY_TOKENS_A_BLOCK = 1024
_WORTH_A_CALL = 4_000
"""Products of a passage, in the mean, from which on its maximum is a call of its own."""
_DONE = "index.json"


@dataclass(frozen=True)
class TokenIndex:
    """Token vectors of passages, a few bits a dimension, and each passage's MaxSim with a query.

    Args:
        starts: each passage's first vector, and at the end the number of all. [passages + 1]
    """

    folder: Path
    starts: NDArray[np.int64]
    codec: Codec

    @classmethod
    def load(cls, folder: Path) -> TokenIndex:
        """Read what `encode` wrote."""
        held = json.loads((folder / _DONE).read_text(encoding="utf-8"))
        counts = np.fromfile(folder / "counts", dtype="<i4")
        return cls(folder, np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]), Codec(**held))

    @classmethod
    def encode(cls, model: MultiVectorEncoder, passages: Sequence[str], folder: Path, bits: Bits = 8) -> TokenIndex:
        """Write the token vectors of passages. Memory stays flat; what an interrupted call finished is kept.

        Args:
            folder: made if it is not there.
        """
        memory = DeviceMemory.of(model)

        def encoded(stretch: slice) -> list[Tokens]:
            texts = list(passages[stretch])
            together = memory.inference_batch_size(max(map(len, texts)), 32)
            made = model.encode_document(texts, batch_size=together, show_progress_bar=False, convert_to_numpy=True)
            release_memory()
            return [np.asarray(each, dtype=np.float32) for each in made]

        size = model.encode_document("any text").shape[1]  # it names none where it has routes
        with encoder_in_bfloat16(model), compiled(model, sum(map(len, passages))):
            return cls.write(folder, len(passages), Codec.of(bits, size), "encoding passages, token by token", encoded)

    @classmethod
    def write(
        cls, folder: Path, passages: int, codec: Codec, what: str, make: Callable[[slice], Sequence[Tokens]]
    ) -> TokenIndex:
        """Write token vectors, some passages at a time; what an interrupted call finished is kept.

        Args:
            make: gives the token vectors of these passages. Each [tokens, dimensions]
        """
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / _DONE).exists():
            _write(folder, passages, codec, what, make)
            write_atomically(folder / _DONE, json.dumps(asdict(codec)) + "\n")
        return cls.load(folder)

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def bytes_per_passage(self) -> float:
        """The mean size of a passage on disk."""
        return float(self.starts[-1]) * (self.codec.size + 2) / max(1, len(self))

    def vectors(self, positions: NDArray[np.int64]) -> list[Tokens]:
        """The token vectors of some passages, as they lie on disk. Each [tokens, dimensions]"""
        codes, scales, counts = self._read(positions, "cpu")
        return np.split(self.codec.decode(codes, scales).numpy(), counts.cumsum(0)[:-1].tolist())

    def scores(self, queries: Sequence[Tokens], device: str = "cpu") -> Iterator[NDArray[np.float32]]:
        """MaxSim of each query and every passage; exact but for the rounding of passages' vectors.

        Args:
            queries: their token vectors. Each [tokens, dimensions]
            device: where products are computed.

        Yields:
            For each query, in order: a score a passage, -inf for one without tokens. [passages]
        """
        every = np.arange(len(self))
        for rows in _by_size(_lengths(queries), _QUERY_TOKENS_A_BLOCK):
            yield from self._maxsim(queries[rows], every, device)
            release_memory()

    def scores_of(
        self, queries: Sequence[Tokens], positions: Sequence[NDArray[np.int64]], device: str = "cpu"
    ) -> Iterator[NDArray[np.float32]]:
        """As `scores`, of some passages of each query alone.

        Args:
            queries: their token vectors. Each [tokens, dimensions]
            positions: the positions of each query's passages in the corpus. Each [passages]
            device: where products are computed.
        """
        for query, wanted in zip(queries, positions, strict=True):
            yield self._maxsim([query], wanted, device)[0]

    def _maxsim(self, queries: Sequence[Tokens], positions: NDArray[np.int64], device: str) -> NDArray[np.float32]:
        """MaxSim of every query with these passages, a block of passages at a time. [queries, passages]"""
        import torch

        low = torch.bfloat16 if fast_precision(device) else torch.float32
        asked = torch.from_numpy(np.concatenate(queries)).to(device, low)
        query_of = torch.from_numpy(np.repeat(np.arange(len(queries)), _lengths(queries))).to(device)
        found = np.empty((len(queries), len(positions)), dtype=np.float32)
        tokens = self.starts[positions + 1] - self.starts[positions]
        for block in _by_size(tokens, _TOKENS_A_BLOCK):
            codes, scales, counts = self._read(positions[block], device)
            highest = _highest(self.codec.levels(codes, low) @ asked.T, scales, counts)
            sums = torch.zeros(len(queries), len(counts), device=device)
            sums.index_add_(0, query_of, highest.T.contiguous())
            found[:, block] = sums.masked_fill(counts == 0, float("-inf")).cpu().numpy()
        return found

    def _read(self, positions: NDArray[np.int64], device: str) -> tuple[Tensor, Tensor, Tensor]:
        """Codes [tokens, size] and scales [tokens] of some passages' tokens, and how many each has. [passages]"""
        import torch

        firsts, ends = self.starts[positions], self.starts[positions + 1]
        size = self.codec.size
        codes = torch.from_numpy(read_pieces(self.folder / "codes", firsts * size, ends * size)).reshape(-1, size)
        scales = torch.from_numpy(read_pieces(self.folder / "scales", firsts * 2, ends * 2).view("<f2")).float()
        return codes.to(device), scales.to(device), torch.from_numpy(ends - firsts).to(device)


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
        """Mean MaxSim of one query's tokens with some passages; 0 for a passage or a query without tokens.
        [passages]"""
        (found,) = self.index.scores_of([tokens], [positions], str(self.model.device))
        return mean_of(tokens, found)


def _write(folder: Path, passages: int, codec: Codec, what: str, make: Callable[[slice], Sequence[Tokens]]) -> None:
    with (
        (folder / "counts").open("a+b") as counts,
        (folder / "scales").open("a+b") as scales,
        (folder / "codes").open("a+b") as codes,
        progress(what, passages) as advance,
    ):
        counts.seek(0)
        finished = np.frombuffer(counts.read(), dtype="<i4")
        done = len(finished) // _TEXTS_A_STRETCH * _TEXTS_A_STRETCH
        tokens = int(finished[:done].sum())
        # Counts are written last: what is beyond them belongs to a stretch that was cut short.
        for file, size in ((counts, 4 * done), (scales, 2 * tokens), (codes, codec.size * tokens)):
            file.truncate(size)
        advance(done)
        for start in range(done, passages, _TEXTS_A_STRETCH):
            vectors = make(slice(start, min(start + _TEXTS_A_STRETCH, passages)))
            held, scale = codec.encode(np.concatenate(vectors))
            codes.write(held.data)
            scales.write(scale.data)
            codes.flush()
            scales.flush()
            counts.write(_lengths(vectors).astype("<i4").data)
            counts.flush()
            advance(len(vectors))


def _highest(products: Tensor, scales: Tensor, counts: Tensor) -> Tensor:
    """The highest product of each passage's tokens with each of the queries'.

    Args:
        products: [passages' tokens, queries' tokens]
        scales: what each token's products are multiplied by. [passages' tokens]
        counts: tokens of each passage. [passages]

    Returns:
        In single precision; undefined for a passage without tokens. [passages, queries' tokens]
    """
    import torch

    highest: Tensor
    if products.device.type == "cpu" and products.numel() >= _WORTH_A_CALL * len(counts):
        # One passage's products stay in the processor's cache, where those of all do not: 3 to 15 times as fast.
        highest = torch.empty(len(counts), products.shape[1])
        parts = (torch.split(each, counts.tolist()) for each in (products, scales[:, None]))
        for row, of_passage, scale in zip(highest, *parts, strict=True):
            if len(of_passage):
                torch.amax(of_passage * scale, dim=0, out=row)
        return highest
    highest = torch.segment_reduce(products.float().mul_(scales[:, None]), "max", lengths=counts, axis=0)
    return highest


def _by_size(sizes: NDArray[np.int64], most: int) -> Iterator[slice]:
    """Neighbours whose sizes add up to `most` at most, or single ones that are larger."""
    ends, start, before = np.cumsum(sizes), 0, 0
    while start < len(sizes):
        stop = max(start + 1, int(np.searchsorted(ends, before + most, side="right")))
        yield slice(start, stop)
        start, before = stop, int(ends[stop - 1])


def _lengths(texts: Sequence[Tokens]) -> NDArray[np.int64]:
    """How many tokens each has. [texts]"""
    return np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
