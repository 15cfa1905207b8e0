"""Hybrid search in memory and by an index of token vectors, and the same scores from a real Qdrant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentence_transformers import MultiVectorEncoder, SentenceTransformer

from rankstill.errors import DataError, ModelError
from rankstill.multi_vector import TokenIndex, TwoStage, encode_queries, multi_vector_encoder
from rankstill.multi_vector.two_stage import make_two_stage
from rankstill.retrieval.bm25 import BM25Index
from rankstill.retrieval.dense import encode
from rankstill.retrieval.hybrid import Hybrid, HybridSearcher
from rankstill.retrieval.hybrid.engines import (
    QdrantNames,
    SparseTerms,
    elasticsearch_query,
    opensearch_query,
    qdrant_query,
)

PASSAGES = [
    "Send it back within 30 days of delivery.",
    "Parcels go out on weekdays before noon.",
    "A refund reaches your card within five days of the return.",
    "Gift cards cannot be returned or refunded.",
    "Our stores open at nine, on Sundays at eleven.",
    "Returns of opened software are refused.",
]
QUERY = "how long do I have to return something for a refund"


@pytest.fixture
def hybrid() -> Hybrid:
    return Hybrid(dense=4.0, bm25=0.6, language="english", k1=1.2, b=0.75, lists=50)


def expected(hybrid: Hybrid, model: SentenceTransformer) -> np.ndarray:
    cosines = encode(model, PASSAGES, "document", "") @ encode(model, [QUERY], "query", "")[0]
    return hybrid.dense * cosines + hybrid.bm25 * BM25Index(PASSAGES, "english", 1.2, 0.75).scores(QUERY)


def test_search_adds_the_two_weighed_scores_of_every_passage(hybrid: Hybrid, tiny_model: SentenceTransformer) -> None:
    found = HybridSearcher(hybrid, tiny_model, PASSAGES).search(QUERY, k=3)
    scores = expected(hybrid, tiny_model)
    best = np.argsort(-scores)[:3]
    assert [each.position for each in found] == best.tolist()
    assert [each.score for each in found] == pytest.approx(scores[best], abs=1e-5)


@pytest.fixture
def late(tiny_model: SentenceTransformer) -> MultiVectorEncoder:
    return multi_vector_encoder(tiny_model, np.ones(len(tiny_model.tokenizer), dtype=np.float32), 1.0)


@pytest.fixture
def two_stage(late: MultiVectorEncoder, tmp_path: Path) -> TwoStage:
    index = TokenIndex.encode(late, PASSAGES, tmp_path)
    make_two_stage(index, encode_queries(late, [QUERY]), 0.95)
    return TwoStage.load(tmp_path)


@pytest.fixture
def of_three(hybrid: Hybrid) -> Hybrid:
    return replace(hybrid, late=7.0)


def mean_maxsim(late: MultiVectorEncoder, query: str) -> np.ndarray:
    """By hand: each of the query's tokens with its best match, over the lengths of the query's vectors."""
    tokens = late.encode_query(query)
    best = [
        sum(max(float(token @ own) for own in passage) for token in tokens)
        for passage in late.encode_document(PASSAGES)
    ]
    return np.array(best) / np.linalg.norm(tokens, axis=1).sum()


def test_weights_with_late_interaction_add_all_three_scores(
    of_three: Hybrid, tiny_model: SentenceTransformer, late: MultiVectorEncoder
) -> None:
    found = HybridSearcher(of_three, tiny_model, PASSAGES, late).search(QUERY, k=6)
    scores = expected(of_three, tiny_model) + 7.0 * mean_maxsim(late, QUERY)
    assert [each.position for each in found] == np.argsort(-scores).tolist()
    # The token vectors of queries are computed in bfloat16.
    assert [each.score for each in found] == pytest.approx(np.sort(scores)[::-1], rel=0.01)


def test_an_index_gives_the_scores_of_vectors_in_memory_without_encoding_tokens_of_a_passage(
    of_three: Hybrid,
    tiny_model: SentenceTransformer,
    late: MultiVectorEncoder,
    two_stage: TwoStage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = HybridSearcher(of_three, tiny_model, PASSAGES, late).search(QUERY, k=6)
    monkeypatch.delattr(MultiVectorEncoder, "encode_document")
    found = HybridSearcher(of_three, tiny_model, PASSAGES, late, two_stage).search(QUERY, k=6)
    assert [each.position for each in found] == [each.position for each in expected]
    assert [each.score for each in found] == pytest.approx([each.score for each in expected], rel=0.01)


def test_an_index_is_asked_for_the_candidates_of_every_search(
    of_three: Hybrid, tiny_model: SentenceTransformer, late: MultiVectorEncoder, two_stage: TwoStage
) -> None:
    narrow, query = replace(two_stage, depth=1), "gift cards"
    lexical = int(BM25Index(PASSAGES, "english", 1.2, 0.75).scores(query).argmax())
    cosines = encode(tiny_model, PASSAGES, "document", "") @ encode(tiny_model, [query], "query", "")[0]
    near = int(narrow.candidates(encode_queries(late, [query])[0])[0])
    found = HybridSearcher(of_three, tiny_model, PASSAGES, late, narrow).search(query, k=6)
    assert {each.position for each in found} == {lexical, near, int(cosines.argmax())}


def test_an_index_of_other_passages_or_weights_without_their_retriever_are_refused(
    hybrid: Hybrid, of_three: Hybrid, tiny_model: SentenceTransformer, late: MultiVectorEncoder, two_stage: TwoStage
) -> None:
    with pytest.raises(ModelError, match="6 passages, but 5 were given"):
        HybridSearcher(of_three, tiny_model, PASSAGES[:5], late, two_stage)
    with pytest.raises(ModelError, match="multi-vector retriever only"):
        HybridSearcher(hybrid, tiny_model, PASSAGES, index=two_stage)
    with pytest.raises(ModelError, match=r"Give multi_vector="):
        HybridSearcher(of_three, tiny_model, PASSAGES)


def test_qdrant_gives_the_same_scores(
    of_three: Hybrid, tiny_model: SentenceTransformer, late: MultiVectorEncoder
) -> None:
    qdrant = pytest.importorskip("qdrant_client", reason='needs pip install "rankstill[qdrant]"')
    from qdrant_client import models

    vectors = encode(tiny_model, PASSAGES, "document", "")
    terms = SparseTerms(BM25Index(PASSAGES, "english", 1.2, 0.75).statistics)
    client = qdrant.QdrantClient(":memory:")
    client.create_collection(
        "passages",
        vectors_config={
            "dense": models.VectorParams(size=vectors.shape[1], distance=models.Distance.COSINE),
            "tokens": models.VectorParams(
                size=vectors.shape[1],
                distance=models.Distance.DOT,
                multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM),
            ),
        },
        sparse_vectors_config={"terms": models.SparseVectorParams(modifier=models.Modifier.IDF)},
    )
    points = []
    of_tokens = [each.tolist() for each in late.encode_document(PASSAGES, convert_to_numpy=True)]
    for number, (text, vector, tokens) in enumerate(zip(PASSAGES, vectors, of_tokens, strict=True)):
        sparse = terms.passage(text)
        own = {
            "dense": vector.tolist(),
            "tokens": tokens,
            "terms": {"indices": sparse.indices, "values": sparse.values},
        }
        points.append(models.PointStruct(id=number, vector=own))
    client.upsert("passages", points)
    asked = encode(tiny_model, [QUERY], "query", "")[0]
    names = QdrantNames(vector="dense")
    body = qdrant_query(of_three, asked, terms.query(QUERY), late.encode_query(QUERY), names=names, limit=6)
    request = models.QueryRequest.model_validate(body)
    found = client.query_points("passages", query=request.query, prefetch=request.prefetch, limit=6).points
    by_id = {point.id: point.score for point in found}
    scores = expected(of_three, tiny_model) + 7.0 * mean_maxsim(late, QUERY)
    assert [by_id[number] for number in range(len(PASSAGES))] == pytest.approx(scores, abs=1e-4)


def score_by(body: dict[str, Any], bm25: float, cosine: float, maxsim: float = 0.0) -> float:
    """What a search engine makes of a body, given its own BM25, a passage's cosine and its MaxSim."""
    total = 0.0
    for each in body["query"]["bool"]["should"]:
        if "match" in each:
            total += each["match"]["body"]["boost"] * bm25
        else:
            script = each["script_score"]["script"]["source"]
            total += each["script_score"]["boost"] * ((maxsim if script.startswith("maxSim") else cosine) + 1.0)
    return total


@pytest.mark.parametrize(
    ("make", "factor"),
    [
        (elasticsearch_query, 2.2),
        (opensearch_query, 1.0),
        (partial(opensearch_query, version=2), 2.2),
    ],
)
def test_a_search_engines_scores_differ_from_the_hybrids_by_a_constant(
    make: Callable[..., dict[str, Any]], factor: float, hybrid: Hybrid, tiny_model: SentenceTransformer
) -> None:
    """`factor` is the engine's BM25 over ours, with k1 = 1.2."""
    cosines = encode(tiny_model, PASSAGES, "document", "") @ encode(tiny_model, [QUERY], "query", "")[0]
    lexical = BM25Index(PASSAGES, "english", 1.2, 0.75).scores(QUERY)
    body = make(hybrid, QUERY, [0.1, 0.2], text_field="body", vector_field="v", size=7)
    scores = [score_by(body, factor * word, cosine) for word, cosine in zip(lexical, cosines, strict=True)]
    assert scores == pytest.approx(expected(hybrid, tiny_model) + hybrid.dense, abs=1e-5)
    assert body["size"] == 7


def test_elasticsearch_adds_maxsim_where_the_weights_count_it(
    of_three: Hybrid, tiny_model: SentenceTransformer, late: MultiVectorEncoder
) -> None:
    tokens = late.encode_query(QUERY)
    fields = {"text_field": "body", "vector_field": "v", "tokens_field": "t"}
    body = elasticsearch_query(of_three, QUERY, [0.1, 0.2], tokens, **fields)
    script = body["query"]["bool"]["should"][2]["script_score"]["script"]
    assert script["source"] == "maxSimDotProduct(params.tokens, 't') + 1.0"
    asked = np.array(script["params"]["tokens"])
    cosines = encode(tiny_model, PASSAGES, "document", "") @ encode(tiny_model, [QUERY], "query", "")[0]
    lexical = 2.2 * BM25Index(PASSAGES, "english", 1.2, 0.75).scores(QUERY)
    maxsims = [(asked @ np.asarray(passage).T).max(axis=1).sum() for passage in late.encode_document(PASSAGES)]
    scores = [score_by(body, *three) for three in zip(lexical, cosines, maxsims, strict=True)]
    wanted = expected(of_three, tiny_model) + 7.0 * mean_maxsim(late, QUERY) + of_three.dense + of_three.late
    assert scores == pytest.approx(wanted, abs=1e-4)
    with pytest.raises(ModelError, match="Give tokens="):
        elasticsearch_query(of_three, QUERY, [0.1, 0.2], **fields)
    with pytest.raises(DataError, match="no query for OpenSearch"):
        opensearch_query(of_three, QUERY, [0.1, 0.2], text_field="body", vector_field="v")


@pytest.mark.parametrize("make", [elasticsearch_query, opensearch_query])
def test_a_query_for_a_search_engine_has_only_data_from_the_user(
    make: Callable[..., dict[str, Any]], hybrid: Hybrid
) -> None:
    query = 'a"}} , {"match_all'
    dense, lexical = make(hybrid, query, [0.1, 0.2], text_field="body", vector_field="v")["query"]["bool"]["should"]
    assert dense["script_score"]["script"]["params"]["vector"] == [0.1, 0.2]
    assert lexical["match"]["body"]["query"] == query
    assert query not in dense["script_score"]["script"]["source"]
