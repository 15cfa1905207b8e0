"""BM25 over a corpus, and over any passages with a corpus's statistics."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankstill.errors import DataError

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

    def __call__(self, texts: Sequence[str]) -> list[list[str]]:
        """Terms of each text, in order and with repetitions."""
        import bm25s

        terms: list[list[str]] = bm25s.tokenize(
            list(texts), stopwords=self._stopwords, stemmer=self._stemmer, return_ids=False, show_progress=False
        )
        return terms


class BM25Index:
    """An inverted index of a corpus (bm25s, Lucene's BM25: Kamphuis et al. 2020, variant "Lucene (accurate)").

    Args:
        texts: passages in corpus order.
        language: see `Analyzer`.
        k1: term-frequency saturation.
        b: length normalisation, 0 to 1.
    """

    def __init__(self, texts: Sequence[str], language: str | None, k1: float, b: float) -> None:
        import bm25s

        self._analyze = Analyzer(language)
        terms = self._analyze(texts)
        self._index: Any = bm25s.BM25(method="lucene", k1=k1, b=b)
        if any(terms):  # without a single term there is nothing to index, and no query will match
            self._index.index(terms, show_progress=False)
        lengths = [len(passage) for passage in terms]
        self.statistics = BM25Statistics(
            language=language,
            k1=k1,
            b=b,
            passages=len(terms),
            mean_length=sum(lengths) / max(1, len(lengths)),
            document_frequency=dict(Counter(term for passage in terms for term in set(passage))),
        )

    def scores(self, query: str) -> NDArray[np.float32]:
        """Scores of every passage of the corpus. [passages]"""
        known = self.statistics.document_frequency
        terms = [term for term in self._analyze([query])[0] if term in known]
        if not terms:
            return np.zeros(self.statistics.passages, dtype=np.float32)
        scores: NDArray[np.float32] = self._index.get_scores(terms)
        return scores


@dataclass(frozen=True)
class BM25Statistics:
    """What BM25 must know of a corpus to score any passage, in the corpus or not.

    Args:
        language: see `Analyzer`.
        k1: term-frequency saturation.
        b: length normalisation.
        passages: how many the corpus holds.
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
            scores[position] = sum(self._idf(term) * counts[term] / (counts[term] + norm) for term in terms)
        return scores

    def _idf(self, term: str) -> float:
        seen = self.document_frequency[term]
        return math.log(1 + (self.passages - seen + 0.5) / (seen + 0.5))

    def save(self, path: Path) -> None:
        """As JSON."""
        path.write_text(json.dumps(self.__dict__, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> BM25Statistics:
        """As `save` wrote it."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))
