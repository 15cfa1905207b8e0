"""BM25 over a corpus, and over any passages with a corpus's statistics."""

from __future__ import annotations

import json
import math
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rankstill.disk import temporary_files
from rankstill.errors import DataError
from rankstill.progress import progress
from rankstill.retrieval.keeping import make_once
from rankstill.workspace import digest

if TYPE_CHECKING:
    from rankstill.config import CandidatesConfig
    from rankstill.data import Corpus


# Snowball's name of a language -> the code under which bm25s keeps its stop words.
_STOPWORDS = {
    "dutch": "nl",
    "english": "en",
    "french": "fr",
    "german": "de",
    "italian": "it",
    "norwegian": "no",
    "portuguese": "pt",
    "russian": "ru",
    "spanish": "es",
    "swedish": "sv",
}

_FORMAT = 1
_PASSAGES_A_BLOCK = 8192
_STATISTICS = "statistics.json"
_MADE_FROM = "made-from.txt"
# bm25s's own names: of its settings; where each term starts; and the columns, one entry a posting, terms in order.
_SETTINGS = "params.index.json"
_COLUMNS = {"data.csc.index.npy": "<f4", "indices.csc.index.npy": "<i4"}
_STARTS = "indptr.csc.index.npy"
_POSTINGS_AT_ONCE = 2**19


class Analyzer:
    """Text to terms: lower case, words of two characters or more, stop words dropped, Snowball stems.

    Args:
        language: a Snowball language such as "english"; None neither stems nor drops stop words.
    """

    def __init__(self, language: str | None) -> None:
        import Stemmer

        if language is not None and language not in Stemmer.algorithms():
            raise DataError(
                f'candidates.language: no stemmer for "{language}". Choose one of {", ".join(Stemmer.algorithms())}, '
                "or null for none."
            )
        self.language = language
        self._stemmer = Stemmer.Stemmer(language) if language else None
        self._stopwords = _STOPWORDS.get(language) if language else None

    @property
    def stop_words(self) -> tuple[str, ...]:
        """The words that it drops."""
        from bm25s import stopwords

        return getattr(stopwords, f"STOPWORDS_{self._stopwords.upper()}") if self._stopwords else ()

    def __call__(self, texts: Sequence[str]) -> list[list[str]]:
        """Terms of each text, in order and with repetitions."""
        terms: list[list[str]] = self._tokenize(texts, return_ids=False)
        return terms

    def numbered(self, texts: Sequence[str]) -> tuple[list[list[int]], dict[str, int]]:
        """As when called, but each term as its number in a vocabulary of these texts."""
        found = self._tokenize(texts, return_ids=True)
        return found.ids, found.vocab

    def _tokenize(self, texts: Sequence[str], *, return_ids: bool) -> Any:
        import bm25s

        return bm25s.tokenize(
            list(texts), stopwords=self._stopwords, stemmer=self._stemmer, return_ids=return_ids, show_progress=False
        )


class BM25Index:
    """An inverted index of a corpus (bm25s, Lucene's BM25: Kamphuis et al. 2020, variant "Lucene (accurate)").

    It lies on the disk and is read where it lies. Made by this constructor it has no name there and goes when the
    process does; `cached_index` keeps one in a folder.

    Args:
        k1: term-frequency saturation.
        b: length normalisation, 0 to 1.
    """

    def __init__(self, texts: Sequence[str], language: str | None, k1: float, b: float) -> None:
        with temporary_files("indexing words"), tempfile.TemporaryDirectory(prefix="rankstill-bm25-") as place:
            write_index(texts, Path(place), language, k1, b)
            self._read(Path(place))

    @classmethod
    def load(cls, folder: Path) -> BM25Index:
        """Read what `write_index` wrote, memory-mapped."""
        index = cls.__new__(cls)
        index._read(folder)
        return index

    def _read(self, folder: Path) -> None:
        import bm25s

        self.statistics = BM25Statistics.load(folder / _STATISTICS)
        self._analyze = Analyzer(self.statistics.language)
        self._numbers = {term: number for number, term in enumerate(self.statistics.document_frequency)}
        self._index: Any = bm25s.BM25.load(folder, mmap=True, load_vocab=False)

    def scores(self, query: str) -> NDArray[np.float32]:
        """Scores of every passage of the corpus. [passages]"""
        terms = [self._numbers[term] for term in self._analyze([query])[0] if term in self._numbers]
        if not terms:
            return np.zeros(self.statistics.passages, dtype=np.float32)
        scores: NDArray[np.float32] = self._index.get_scores_from_ids(terms)
        return scores


@dataclass(frozen=True)
class BM25Statistics:
    """What BM25 must know of a corpus to score any passage, in the corpus or not.

    Args:
        mean_length: of the corpus's passages, in terms.
        document_frequency: in how many passages each term stands.
    """

    language: str | None
    k1: float
    b: float
    passages: int
    mean_length: float
    document_frequency: dict[str, int]

    def scores(self, query: str, passages: Sequence[str]) -> NDArray[np.float32]:
        """BM25 of a query against these passages, as the index of the whole corpus would give it. [passages]"""
        analyze = Analyzer(self.language)
        terms = [term for term in analyze([query])[0] if term in self.document_frequency]
        scores = np.zeros(len(passages), dtype=np.float32)
        if not terms:
            return scores
        for position, words in enumerate(analyze(passages)):
            counts = Counter(words)
            norm = self.k1 * (1 - self.b + self.b * len(words) / self.mean_length)
            scores[position] = sum(
                _idf(self.document_frequency[term], self.passages) * counts[term] / (counts[term] + norm)
                for term in terms
            )
        return scores

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(self.__dict__, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> BM25Statistics:
        """Read what `save` wrote."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))


def cached_index(corpus: Corpus, config: CandidatesConfig, folder: Path) -> BM25Index:
    """The index that a folder holds, if it is of this corpus and these settings; else it is made there first.

    Args:
        folder: the index's own; what else lies in it is replaced.
    """

    def make(unfinished: Path) -> None:
        write_index(corpus.texts(), unfinished, config.language, config.k1, config.b)
        (unfinished / _MADE_FROM).write_text(_made_from(corpus, config), encoding="utf-8")

    make_once(folder, lambda: is_cached(corpus, config, folder), make)
    return BM25Index.load(folder)


def is_cached(corpus: Corpus, config: CandidatesConfig, folder: Path) -> bool:
    """Whether a folder holds the index of this corpus and these settings."""
    stamp = folder / _MADE_FROM
    return stamp.is_file() and stamp.read_text(encoding="utf-8") == _made_from(corpus, config)


def _made_from(corpus: Corpus, config: CandidatesConfig) -> str:
    return digest(_FORMAT, config.language, config.k1, config.b, corpus.fingerprint)


def write_index(texts: Sequence[str], folder: Path, language: str | None, k1: float, b: float) -> None:
    """Write an index for `BM25Index.load`: the one that bm25s makes in memory, made by sorting on the disk.

    Passages are read block by block, a block's postings are sorted by term and set down, and the blocks are merged,
    some terms at a time. What stays in memory is the vocabulary and a number a passage.

    Args:
        texts: passages in corpus order.
        folder: a folder that exists.
        language: see `Analyzer`.
        k1: term-frequency saturation.
        b: length normalisation, 0 to 1.
    """
    analyze = Analyzer(language)
    with tempfile.TemporaryDirectory(dir=folder, prefix="sorting-") as place:
        blocks = SortedPostings(Path(place))
        with progress("indexing words", len(texts)) as advance:
            for start in range(0, len(texts), _PASSAGES_A_BLOCK):
                block = texts[start : start + _PASSAGES_A_BLOCK]
                blocks.add(*analyze.numbered(block))
                advance(len(block))
        lengths = blocks.lengths
        statistics = BM25Statistics(
            language=language,
            k1=k1,
            b=b,
            passages=len(lengths),
            mean_length=float(lengths.mean()) if len(lengths) else 0.0,
            document_frequency=dict(zip(blocks.vocabulary, blocks.frequency.tolist(), strict=True)),
        )
        statistics.save(folder / _STATISTICS)
        settings = {"method": "lucene", "k1": k1, "b": b, "num_docs": len(lengths)}
        (folder / _SETTINGS).write_text(json.dumps(settings), encoding="utf-8")
        np.save(folder / _STARTS, np.concatenate([[0], np.cumsum(blocks.frequency)]))
        idf = np.array([_idf(seen, len(lengths)) for seen in blocks.frequency.tolist()], dtype=np.float32)
        norms = k1 * ((1 - b) + b * lengths / (statistics.mean_length or 1.0))
        with ExitStack() as stack:
            files = [stack.enter_context((folder / name).open("wb")) for name in _COLUMNS]
            for file, kind in zip(files, _COLUMNS.values(), strict=True):
                header = {"descr": kind, "fortran_order": False, "shape": (int(blocks.frequency.sum()),)}
                np.lib.format.write_array_header_1_0(file, header)
            for terms, passages, counts in blocks.merged():
                scores = idf[terms] * (counts / (norms[passages] + counts))
                for file, kind, column in zip(files, _COLUMNS.values(), (scores, passages), strict=True):
                    file.write(np.ascontiguousarray(column, dtype=kind).data)


def _idf(seen: int, passages: int) -> float:
    return math.log(1 + (passages - seen + 0.5) / (seen + 0.5))


class SortedPostings:
    """Postings of passages on the disk, those of a block sorted by term, then by passage.

    Three columns, each its own file: the term's number, the passage's position, how often the term stands there.
    """

    def __init__(self, folder: Path) -> None:
        self.vocabulary: dict[str, int] = {}
        self.frequency = np.zeros(0, dtype=np.int64)
        self._lengths: list[NDArray[np.int64]] = []
        self._starts = [0]
        self._paths = [folder / name for name in ("terms", "passages", "counts")]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The length of each passage, in terms. [passages]"""
        return np.concatenate([np.zeros(0, dtype=np.int64), *self._lengths])

    def add(self, numbered: list[list[int]], vocabulary: dict[str, int]) -> None:
        """A block more, as `bm25.Analyzer.numbered` gives it."""
        renumbered = np.zeros(max(vocabulary.values(), default=-1) + 1, dtype=np.int64)
        for term in sorted(vocabulary):  # the block's own order is that of a set, which changes from run to run
            renumbered[vocabulary[term]] = self.vocabulary.setdefault(term, len(self.vocabulary))
        lengths = np.fromiter(map(len, numbered), dtype=np.int64, count=len(numbered))
        terms = renumbered[np.fromiter(chain.from_iterable(numbered), dtype=np.int64, count=int(lengths.sum()))]
        first = sum(map(len, self._lengths))
        passages = np.repeat(np.arange(first, first + len(lengths)), lengths)
        postings, counts = np.unique(terms << 32 | passages, return_counts=True)
        terms = postings >> 32
        self.frequency = np.pad(self.frequency, (0, len(self.vocabulary) - len(self.frequency)))
        self.frequency += np.bincount(terms, minlength=len(self.vocabulary))
        for path, column in zip(self._paths, (terms, postings & 0xFFFFFFFF, counts), strict=True):
            with path.open("ab") as file:
                file.write(column.astype("<i4").data)
        self._lengths.append(lengths)
        self._starts.append(self._starts[-1] + len(postings))

    def merged(self) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]]:
        """All postings sorted by term, then by passage, some terms at a time: terms, passages, counts."""
        if not len(self.frequency):
            return
        # As many terms at a time as have postings enough; one at least.
        share = (np.cumsum(self.frequency) - self.frequency) // _POSTINGS_AT_ONCE
        ends = [*(np.flatnonzero(np.diff(share)) + 1).tolist(), len(self.frequency)]
        all_terms = np.memmap(self._paths[0], dtype="<i4", mode="r")
        with ExitStack() as stack:
            files = [stack.enter_context(path.open("rb")) for path in self._paths]
            places = list(self._starts[:-1])
            for end in ends:
                parts = []
                for block, until in enumerate(self._starts[1:]):
                    start = places[block]
                    many = int(np.searchsorted(all_terms[start:until], np.int32(end)))
                    parts.append([_read_numbers(file, start, many) for file in files])
                    places[block] += many
                terms, passages, counts = (np.concatenate(column) for column in zip(*parts, strict=True))
                order = np.argsort(terms, kind="stable")
                yield terms[order], passages[order], counts[order]


def _read_numbers(file: IO[bytes], start: int, many: int) -> NDArray[np.int32]:
    file.seek(4 * start)
    return np.fromfile(file, dtype="<i4", count=many)
