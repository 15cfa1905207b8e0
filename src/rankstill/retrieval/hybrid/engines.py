"""The hybrid in search engines: the query that gives passages the same scores there.

Elasticsearch and OpenSearch compute the BM25 formula that is used here, but for a factor. So the weights carry over
where the engine's analyzer gives nearly the same terms (`english` for language "english") and its k1 and b are those of
the hybrid.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankstill.errors import DataError, ModelError
from rankstill.retrieval.bm25 import Analyzer, BM25Statistics
from rankstill.retrieval.hybrid.weights import Hybrid


@dataclass(frozen=True)
class Fields:
    """What an index of Elasticsearch or OpenSearch calls a passage's fields.

    Args:
        text: of type `text`, with the analyzer of the hybrid's language.
        vector: its vector by the retriever that the weights belong to.
        tokens: its token vectors, where the weights count them. Every passage needs it; one without tokens gets one
            vector of zeros.
    """

    text: str
    vector: str
    tokens: str = "tokens"


def elasticsearch_query(
    hybrid: Hybrid,
    query: str,
    vector: Sequence[float],
    tokens: NDArray[np.float32] | None = None,
    *,
    fields: Fields,
    size: int = 10,
    depth: int | None = None,
) -> dict[str, Any]:
    """The body of a search request to Elasticsearch 8 or later. Exact: every passage's cosine is computed.

    Scores are the hybrid's, plus the weights `hybrid.dense` and `hybrid.late`: an engine's scores may not be negative.

    Args:
        vector: the query's, from the retriever that the weights belong to. [dimensions]
        tokens: the query's token vectors by the multi-vector retriever, where the weights count it. [tokens,
            dimensions]
        fields: `vector` of type `dense_vector`, and `tokens` of type `rank_vectors` (Elasticsearch 8.18 or later, a
            technical preview).
        depth: passages of each shard that get MaxSim: the best by the other scores. None: all.

    Raises:
        ModelError: the weights count late interaction, and there are no `tokens`.
    """
    cosine = f"cosineSimilarity(params.vector, '{fields.vector}') + 1.0"
    # Elasticsearch keeps Lucene's former BM25 (LegacyBM25Similarity), which multiplies each score by k1 + 1.
    searches = [_by_cosine(hybrid, vector, cosine), _by_words(query, fields.text, hybrid.bm25 / (hybrid.k1 + 1))]
    maxsim = f"maxSimDotProduct(params.tokens, '{fields.tokens}') + 1.0"
    return _sum(searches, _by_tokens(hybrid, tokens, maxsim), size, depth)


def opensearch_query(
    hybrid: Hybrid,
    query: str,
    vector: Sequence[float],
    tokens: NDArray[np.float32] | None = None,
    *,
    fields: Fields,
    size: int = 10,
    depth: int | None = None,
    version: int = 3,
) -> dict[str, Any]:
    """The body of a search request to OpenSearch 2 or later. Exact: every passage's cosine is computed.

    Scores are the hybrid's, plus the weights `hybrid.dense` and `hybrid.late`: an engine's scores may not be negative.
    Where a query token's best match is a negative product x, OpenSearch counts it up to x² too high.

    Args:
        vector: the query's, from the retriever that the weights belong to. [dimensions]
        tokens: the query's token vectors by the multi-vector retriever, where the weights count it. [tokens,
            dimensions]
        fields: `vector` of type `knn_vector`, and `tokens` of type `object` with `"enabled": false` (OpenSearch 3.3 or
            later), which is read from `_source`.
        depth: passages of each shard that get MaxSim: the best by the other scores. None: all, which is slow.
        version: the server's major version. Before 3, OpenSearch's BM25 is multiplied by k1 + 1.

    Raises:
        DataError: the weights count late interaction, and the server is older than 3.
        ModelError: the weights count late interaction, and there are no `tokens`.
    """
    if hybrid.late and version < 3:
        raise DataError(
            "these weights count late interaction, which OpenSearch has from version 3.3. Use hybrid.json or "
            "hybrid-distilled.json with an older one."
        )
    cosine = f"cosineSimilarity(params.vector, doc['{fields.vector}']) + 1.0"
    factor = 1.0 if version >= 3 else hybrid.k1 + 1
    searches = [_by_cosine(hybrid, vector, cosine), _by_words(query, fields.text, hybrid.bm25 / factor)]
    # The function shifts products: it sums x + 1 over the query's tokens, or 1 / (1 - x) where x is negative.
    late = f"lateInteractionScore(params.tokens, '{fields.tokens}', params._source, 'innerproduct')"
    return _sum(searches, _by_tokens(hybrid, tokens, f"{late} - params.tokens.size() + 1.0"), size, depth)


def _by_cosine(hybrid: Hybrid, vector: Sequence[float], cosine: str) -> dict[str, Any]:
    return _scored(cosine, {"vector": [float(value) for value in vector]}, hybrid.dense)


def _by_tokens(hybrid: Hybrid, tokens: NDArray[np.float32] | None, maxsim: str) -> dict[str, Any] | None:
    return _scored(maxsim, {"tokens": scaled_tokens(tokens).tolist()}, hybrid.late) if hybrid.late else None


def _scored(script: str, parameters: dict[str, Any], boost: float) -> dict[str, Any]:
    return {
        "script_score": {
            "query": {"match_all": {}},
            "script": {"source": script, "params": parameters},
            "boost": boost,
        }
    }


def _by_words(query: str, text_field: str, boost: float) -> dict[str, Any]:
    return {"match": {text_field: {"query": query, "boost": boost}}}


def _sum(
    searches: Sequence[dict[str, Any]], late: dict[str, Any] | None, size: int, depth: int | None
) -> dict[str, Any]:
    """The searches' scores added, and those of `late`: for every passage, or for the `depth` best by the others."""
    if late is None or depth is None:
        return {"size": size, "query": {"bool": {"should": [*searches, *([late] if late else [])]}}}
    rescore = {"window_size": max(depth, size), "query": {"rescore_query": late}}
    return {"size": size, "query": {"bool": {"should": list(searches)}}, "rescore": rescore}


@dataclass(frozen=True)
class SparseVector:
    """Numbers of terms, ascending, and a value for each: a sparse vector as Qdrant takes it. [terms] each"""

    indices: list[int]
    values: list[float]


class SparseTerms:
    """Texts as sparse vectors whose dot product, with Qdrant's modifier `idf`, is BM25.

    Args:
        statistics: of the corpus: its mean length, language, k1 and b; `bm25/statistics.json` of a workspace.
    """

    def __init__(self, statistics: BM25Statistics) -> None:
        self._statistics = statistics
        self._analyze = Analyzer(statistics.language)

    def passage(self, text: str) -> SparseVector:
        """Each term's saturated frequency."""
        terms = self._analyze([text])[0]
        own = self._statistics
        norm = own.k1 * (1 - own.b + own.b * len(terms) / own.mean_length)
        return _sparse({term: count / (count + norm) for term, count in Counter(terms).items()})

    def query(self, text: str) -> SparseVector:
        """How often each term stands in the query."""
        return _sparse(Counter(self._analyze([text])[0]))


def _sparse(values: dict[str, float] | Counter[str]) -> SparseVector:
    """Terms by a hash of 32 bits, so that no vocabulary has to be kept; two terms of one number are added."""
    summed: Counter[int] = Counter()
    for term, value in values.items():
        number = int.from_bytes(hashlib.blake2b(term.encode(), digest_size=4).digest(), "big")
        summed[number] += value  # type: ignore[assignment]
    return SparseVector(sorted(summed), [float(summed[number]) for number in sorted(summed)])


@dataclass(frozen=True)
class QdrantNames:
    """What a collection calls its vectors. By default as `rankstill export-vectors --of multi-vector` names them.

    Args:
        vector: the dense one, of distance Cosine; "" where `export-vectors` put no tokens.
        terms: the sparse one, with modifier `idf`, filled by `SparseTerms.passage`.
        tokens: the multi-vector, of distance Dot and comparator max_sim.
    """

    vector: str = "vector"
    terms: str = "terms"
    tokens: str = "tokens"


def qdrant_query(
    hybrid: Hybrid,
    vector: Sequence[float],
    terms: SparseVector,
    tokens: NDArray[np.float32] | None = None,
    *,
    names: QdrantNames = QdrantNames(),
    limit: int = 10,
    depth: int = 200,
) -> dict[str, Any]:
    """The body of a query to Qdrant 1.14 or later: a search by each score, the scores weighed and added.

    A passage that one of the searches does not find among its best gets 0 from it, so `depth` should be far above
    `limit`.

    Args:
        vector: the query's, from the retriever that the weights belong to. [dimensions]
        terms: `SparseTerms.query`.
        tokens: the query's token vectors by the multi-vector retriever, where the weights count it. [tokens,
            dimensions]
        names: of the collection's vectors.
        depth: passages that each search contributes.

    Raises:
        ModelError: the weights count late interaction, and there are no `tokens`.
    """
    searches = [
        (hybrid.dense, {"query": list(map(float, vector)), "using": names.vector, "limit": depth}),
        (
            hybrid.bm25,
            {"query": {"indices": terms.indices, "values": terms.values}, "using": names.terms, "limit": depth},
        ),
    ]
    if hybrid.late:
        asked = scaled_tokens(tokens).tolist()
        searches.append((hybrid.late, {"query": asked, "using": names.tokens, "limit": depth}))
    weighed = [{"mult": [weight, f"$score[{number}]"]} for number, (weight, _) in enumerate(searches)]
    defaults = {f"$score[{number}]": 0.0 for number in range(len(searches))}
    prefetch = [search for _, search in searches]
    return {"prefetch": prefetch, "query": {"formula": {"sum": weighed}, "defaults": defaults}, "limit": limit}


def scaled_tokens(tokens: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """A query's token vectors, scaled so that MaxSim with them is the hybrid's mean MaxSim. [tokens, dimensions]

    A query without tokens gets one vector of zeros, because no engine takes an empty list.

    Raises:
        ModelError: `tokens` is None.
    """
    if tokens is None:
        raise ModelError(
            "these weights count late interaction. Give tokens=late.encode_query(query) as well, by the multi-vector "
            "retriever of the same run."
        )
    asked = np.asarray(tokens, dtype=np.float32)
    if not len(asked):
        return np.zeros((1, asked.shape[1]), dtype=np.float32)
    scaled: NDArray[np.float32] = asked / max(float(np.linalg.norm(asked, axis=1).sum()), 1e-9)
    return scaled
