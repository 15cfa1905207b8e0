"""Hybrid search in memory and by an index of token vectors, and the same scores from databases and search engines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sentence_transformers import MultiVectorEncoder, SentenceTransformer

from rankstill.errors import DataError, ModelError
from rankstill.extras.export.stores import to_lancedb, to_qdrant
from rankstill.extras.export.vectors import Batch, with_terms
from rankstill.multi_vector import TokenIndex, TwoStage, encode_queries, multi_vector_encoder
from rankstill.multi_vector.two_stage import make_two_stage
from rankstill.retrieval.bm25 import BM25Index
from rankstill.retrieval.dense import encode
from rankstill.retrieval.hybrid import Hybrid, HybridSearcher
from rankstill.retrieval.hybrid.engines import (
    Fields,
    QdrantNames,
    SparseTerms,
    elasticsearch_query,
    opensearch_query,
    qdrant_query,
    scaled_tokens,
)
from rankstill.retrieval.hybrid.lance import lancedb_search, lancedb_text_index

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


def by_qdrant(
    query: str, batch: Batch, folder: Path, hybrid: Hybrid, vector: np.ndarray, tokens: np.ndarray
) -> list[tuple[str, float]]:
    qdrant = pytest.importorskip("qdrant_client", reason='needs pip install "rankstill[qdrant]"')
    terms = SparseTerms(BM25Index(PASSAGES, "english", 1.2, 0.75).statistics)
    to_qdrant(with_terms([batch], terms), "passages", location=str(folder))
    body = qdrant_query(hybrid, vector, terms.query(query), tokens)
    request = qdrant.models.QueryRequest.model_validate(body)
    client = qdrant.QdrantClient(path=str(folder))
    found = client.query_points("passages", query=request.query, prefetch=request.prefetch, limit=request.limit)
    client.close()
    return [(point.payload["id"], point.score) for point in found.points]


def by_lancedb(
    query: str, batch: Batch, folder: Path, hybrid: Hybrid, vector: np.ndarray, tokens: np.ndarray
) -> list[tuple[str, float]]:
    lancedb = pytest.importorskip("lancedb", reason='needs pip install "rankstill[lancedb]"')
    to_lancedb([batch], "passages", location=str(folder))
    table = lancedb.connect(str(folder)).open_table("passages")
    table.create_index("text", config=lancedb.index.FTS(**lancedb_text_index(hybrid.language)))
    return [(row["id"], row["score"]) for row in lancedb_search(table, hybrid, query, vector, tokens)]


@pytest.mark.parametrize("query", [QUERY, "zebra", ""])
@pytest.mark.parametrize("ask", [by_qdrant, by_lancedb])
def test_a_database_gives_the_searchers_order_and_scores(
    ask: Callable[..., list[tuple[str, float]]],
    query: str,
    of_three: Hybrid,
    tiny_model: SentenceTransformer,
    late: MultiVectorEncoder,
    tmp_path: Path,
) -> None:
    batch = Batch(
        ids=tuple(f"p{position}" for position in range(len(PASSAGES))),
        texts=tuple(PASSAGES),
        vectors=encode(tiny_model, PASSAGES, "document", ""),
        tokens=tuple(late.encode_document(PASSAGES, convert_to_numpy=True)),
    )
    vector, (tokens,) = encode(tiny_model, [query], "query", "")[0], encode_queries(late, [query])
    found = ask(query, batch, tmp_path, of_three, vector, tokens)
    wanted = HybridSearcher(of_three, tiny_model, PASSAGES, late).search(query, k=6)
    assert [own for own, _ in found] == [f"p{each.position}" for each in wanted]
    assert [score for _, score in found] == pytest.approx([each.score for each in wanted], abs=1e-4)


class PainlessList(list[Any]):
    """Lists as Painless has them."""

    def size(self) -> int:
        return len(self)


def score_by(body: dict[str, Any], bm25: float, passage: dict[str, np.ndarray], *, of_mean: bool = False) -> float:
    """What a search engine makes of a body, given its own BM25 and the vectors in a passage's fields.

    Scripts are evaluated as Python. `lateInteractionScore` is that of OpenSearch's k-NN plugin, branches 3.3 to 3.8. A
    newer commit (4293b0b) shifts the mean and not each product: `of_mean`.
    """

    def cosine(query: list[float], field: str | np.ndarray) -> float:
        own = passage[field] if isinstance(field, str) else field
        return float(np.array(query) @ own / np.linalg.norm(query) / np.linalg.norm(own))

    def best(query: list[list[float]], field: str) -> np.ndarray:
        return (np.array(query) @ passage[field].T).max(axis=1)

    def shifted(product: float) -> float:
        return product + 1 if product >= 0 else 1 / (1 - product)

    def late(query: list[list[float]], field: str, source: dict[str, np.ndarray], space: str) -> float:
        assert source is passage
        assert space == "innerproduct"
        products = best(query, field)
        return len(products) * shifted(products.mean()) if of_mean else sum(map(shifted, products))

    def of_script(search: dict[str, Any]) -> float:
        script = search["script_score"]["script"]
        params = SimpleNamespace(
            **{name: PainlessList(value) for name, value in script["params"].items()}, _source=passage
        )
        names = {"params": params, "doc": passage, "cosineSimilarity": cosine, "lateInteractionScore": late}
        names["maxSimDotProduct"] = lambda query, field: best(query, field).sum()
        score = eval(script["source"], names)
        assert score >= 0, "the engine refuses it"
        return float(search["script_score"]["boost"] * score)

    searches = body["query"]["bool"]["should"]
    total = sum(each["match"]["body"]["boost"] * bm25 if "match" in each else of_script(each) for each in searches)
    return total + (of_script(body["rescore"]["query"]["rescore_query"]) if "rescore" in body else 0.0)


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
    vectors, asked = encode(tiny_model, PASSAGES, "document", ""), encode(tiny_model, [QUERY], "query", "")[0]
    lexical = BM25Index(PASSAGES, "english", 1.2, 0.75).scores(QUERY)
    body = make(hybrid, QUERY, asked, fields=Fields("body", "v"), size=7)
    scores = [score_by(body, factor * word, {"v": vector}) for word, vector in zip(lexical, vectors, strict=True)]
    assert scores == pytest.approx(expected(hybrid, tiny_model) + hybrid.dense, abs=1e-5)
    assert body["size"] == 7


@pytest.mark.parametrize("depth", [None, 50])
@pytest.mark.parametrize(("make", "factor"), [(elasticsearch_query, 2.2), (opensearch_query, 1.0)])
def test_a_search_engine_adds_maxsim_where_the_weights_count_it(
    make: Callable[..., dict[str, Any]],
    factor: float,
    depth: int | None,
    of_three: Hybrid,
    tiny_model: SentenceTransformer,
    late: MultiVectorEncoder,
) -> None:
    vectors, asked = encode(tiny_model, PASSAGES, "document", ""), encode(tiny_model, [QUERY], "query", "")[0]
    fields = Fields("body", "v", "t")
    body = make(of_three, QUERY, asked, late.encode_query(QUERY), fields=fields, depth=depth)
    lexical = factor * BM25Index(PASSAGES, "english", 1.2, 0.75).scores(QUERY)
    tokens = late.encode_document(PASSAGES, convert_to_numpy=True)
    passages = [{"v": vector, "t": own} for vector, own in zip(vectors, tokens, strict=True)]
    wanted = expected(of_three, tiny_model) + 7.0 * mean_maxsim(late, QUERY) + of_three.dense + of_three.late
    for of_mean in (False, True):
        scores = [score_by(body, *each, of_mean=of_mean) for each in zip(lexical, passages, strict=True)]
        assert scores == pytest.approx(wanted, abs=1e-4)
    assert body.get("rescore", {}).get("window_size") == depth
    with pytest.raises(ModelError, match="Give tokens="):
        make(of_three, QUERY, asked, fields=fields)


@pytest.mark.parametrize("of_mean", [False, True])
def test_opensearch_counts_a_negative_product_too_high_by_its_square_at_most(of_mean: bool) -> None:
    draw = np.random.default_rng(4)
    hybrid = Hybrid(dense=0.0, bm25=0.0, language=None, k1=1.2, b=0.75, lists=50, late=1.0)
    asked = draw.normal(size=(6, 8)).astype(np.float32)
    body = opensearch_query(hybrid, QUERY, [1.0, 0.0], asked, fields=Fields("body", "v"))
    for own in draw.normal(size=(50, 2, 8)):
        passage = {"v": np.ones(2), "tokens": own / np.linalg.norm(own, axis=1, keepdims=True)}
        products = (scaled_tokens(asked) @ passage["tokens"].T).max(axis=1)
        above = score_by(body, 0.0, passage, of_mean=of_mean) - 1.0 - products.sum()
        assert -1e-6 < above < 1e-6 + (np.minimum(products, 0) ** 2).sum()


def test_opensearch_before_3_is_refused_where_the_weights_count_maxsim(of_three: Hybrid) -> None:
    with pytest.raises(DataError, match=r"from version 3\.3"):
        opensearch_query(of_three, QUERY, [0.1, 0.2], fields=Fields("body", "v"), version=2)


@pytest.mark.parametrize("make", [elasticsearch_query, opensearch_query])
def test_a_query_for_a_search_engine_has_only_data_from_the_user(
    make: Callable[..., dict[str, Any]], hybrid: Hybrid
) -> None:
    query = 'a"}} , {"match_all'
    dense, lexical = make(hybrid, query, [0.1, 0.2], fields=Fields("body", "v"))["query"]["bool"]["should"]
    assert dense["script_score"]["script"]["params"]["vector"] == [0.1, 0.2]
    assert lexical["match"]["body"]["query"] == query
    assert query not in dense["script_score"]["script"]["source"]
