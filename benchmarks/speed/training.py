"""Training: our ranker's and our retrievers' against the stock trainers with their defaults, on the same lists."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from benchmarks.speed.data import MINILM, ndcg, part, scifact
from benchmarks.speed.measure import Result, alternate, rates
from benchmarks.speed.stock import stock_multi_vector, stock_ranker, stock_retriever

from rankstill.config import RankerConfig, RetrieverConfig
from rankstill.data import bundled
from rankstill.evaluation import Run, aggregate, per_query
from rankstill.labels.labelling import order_scores
from rankstill.labels.table import LabelledQuery
from rankstill.models import load_bi_encoder
from rankstill.multi_vector import TokenIndex, encode_queries, inverse_document_frequency, multi_vector_encoder
from rankstill.multi_vector.student import MULTI_VECTOR
from rankstill.ranker import RankedList, Ranker, train_ranker
from rankstill.retrieval import encode
from rankstill.retriever import TrainingData, train_retriever
from rankstill.retriever.training import train_student
from rankstill.teacher import read_rankings

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

LISTS, ROUNDS = 32, 3
PASSAGES, RERANKED, CLAIMS = 1500, 10, 60
"""What quality is measured on. The ranker's: each claim's best passages, put into its order."""


def ranker_training() -> list[Result]:
    """Pairs a second, of an epoch over a few lists, loading and all."""
    lists = lists_of_scifact()
    config = RankerConfig(prior=False)
    seconds, ours, theirs = _beside(
        lambda folder: train_ranker(lists, config, MINILM, folder, seed=0, device="cpu"),
        lambda: stock_ranker([each.query for each in lists], [each.passages for each in lists]),
    )
    mine, stock = (reranked_ndcg(ranker) for ranker in (ours, Ranker(None, theirs)))
    return [
        Result(
            "ranker training",
            "CrossEncoderTrainer + ListMLELoss, defaults but for batches of 4 x 2 lists (8 need more than 23 GB)",
            "pairs/s",
            goal=">= 6x, nDCG@10 within 0.005",
            quality=f"after {len(lists)} lists nDCG@10 {mine:.4f} against {stock:.4f}, {RERANKED} passages of {CLAIMS} "
            f"claims reranked; {config.max_length} tokens a pair in training, stock 512",
            **rates(sum(len(each.passages) for each in lists), *seconds),
        )
    ]


def retriever_training() -> list[Result]:
    """Queries a second, of an epoch over a few lists, loading and all."""
    lists = lists_of_scifact()
    labels, scores = labels_of(lists), [order_scores(len(each.passages), len(each.passages)) for each in lists]
    corpus, config = scifact().corpus, RetrieverConfig(model=MINILM, epochs=1)
    seconds, ours, theirs = _beside(
        lambda folder: train_retriever(TrainingData(labels, corpus, config, 0), folder, "cpu"),
        lambda: stock_retriever([each.query for each in lists], [each.passages for each in lists], scores),
    )
    mine, stock = (retrieved_ndcg(model) for model in (ours, theirs))
    return [
        Result(
            "retriever training",
            "SentenceTransformerTrainer + DistillKLDivLoss, defaults",
            "queries/s",
            goal=">= 5x, nDCG@10 within 0.005",
            quality=f"after {len(lists)} lists nDCG@10 {mine:.4f} against {stock:.4f} on {PASSAGES:,} passages; "
            f"{config.training_length} tokens a passage in training, stock 256",
            **rates(len(lists), *seconds),
        )
    ]


def multi_vector_training() -> list[Result]:
    """Queries a second, of an epoch over a few lists, of one multi-vector retriever that is loaded."""
    lists = lists_of_scifact()[:16]  # the stock one takes minutes for these
    labels, scores = labels_of(lists), [order_scores(len(each.passages), len(each.passages)) for each in lists]
    corpus, config = scifact().corpus, RetrieverConfig(model=MINILM, epochs=1)
    bi_encoder = load_bi_encoder(MINILM, "cpu")
    start = multi_vector_encoder(bi_encoder, inverse_document_frequency(bi_encoder, corpus.texts()) ** 0.5, 1.0)

    def ours(folder: Path) -> MultiVectorEncoder:
        model = copy.deepcopy(start)
        train_student(model, MULTI_VECTOR, TrainingData(labels, corpus, config, 0), folder, "multi-vector")
        return model

    seconds, mine, theirs = _beside(
        ours,
        lambda: stock_multi_vector(
            copy.deepcopy(start), [each.query for each in lists], [each.passages for each in lists], scores
        ),
    )
    before, after, stock = (multi_vector_ndcg(model) for model in (start, mine, theirs))
    return [
        Result(
            "multi-vector training",
            "MultiVectorEncoderTrainer + MultiVectorDistillKLDivLoss, defaults",
            "queries/s",
            goal=">= 3x, nDCG@10 within 0.005",
            quality=f"after {len(lists)} lists nDCG@10 {after:.4f} against {stock:.4f} on {PASSAGES:,} passages, "
            f"{before:.4f} before; {config.training_length} tokens a passage in training, stock 256",
            **rates(len(lists), *seconds),
        )
    ]


def multi_vector_ndcg(model: MultiVectorEncoder) -> float:
    """As `retrieved_ndcg`, by MaxSim."""
    ids, texts = part(PASSAGES)
    asked = encode_queries(model, scifact().texts_of(scifact().test))
    with tempfile.TemporaryDirectory() as folder:
        scores = np.stack(list(TokenIndex.encode(model, texts, Path(folder)).scores(asked)))
    return ndcg(scores, ids)


def retrieved_ndcg(model: Any) -> float:
    """Of the test claims, over a part of the corpus."""
    ids, texts = part(PASSAGES)
    claims = scifact().texts_of(scifact().test)
    return ndcg(encode(model, claims, "query", "claims") @ encode(model, texts, "document", "passages").T, ids)


def reranked_ndcg(ranker: Ranker) -> float:
    """Of some test claims, whose best passages by the retriever before are put into the ranker's order."""
    dataset = scifact()
    ids, texts = part(PASSAGES)
    model = load_bi_encoder(MINILM, "cpu")
    asked = list(dataset.test)[:CLAIMS]
    claims = dataset.texts_of(asked)
    cosines = encode(model, claims, "query", "claims") @ encode(model, texts, "document", "passages").T
    best = np.argsort(-cosines, axis=1, kind="stable")[:, :RERANKED]
    pairs = [(claim, texts[row]) for claim, rows in zip(claims, best, strict=True) for row in rows]
    scores = ranker.score(pairs, None).reshape(best.shape)
    run: Run = {
        query_id: {ids[row]: float(score) for row, score in zip(rows, given, strict=True)}
        for query_id, rows, given in zip(asked, best, scores, strict=True)
    }
    qrels = {query_id: dataset.qrels[query_id] for query_id in asked}
    return aggregate(per_query(run, qrels, ["nDCG@10"]))["nDCG@10"]


def _beside(ours: Callable[[Path], Any], theirs: Callable[[], Any]) -> tuple[tuple[list[float], list[float]], Any, Any]:
    """Seconds of our training, into a folder that goes, and of the stock one's; and the models that each made last."""
    made: dict[str, Any] = {}

    def into_a_folder() -> None:
        with tempfile.TemporaryDirectory() as folder:
            made["ours"] = ours(Path(folder))

    def stock() -> None:
        made["theirs"] = theirs()

    seconds = alternate(into_a_folder, stock, ROUNDS, warm_up=False)
    return seconds, made["ours"], made["theirs"]


def labels_of(lists: Sequence[RankedList]) -> list[LabelledQuery]:
    """The lists as labels of a ranker that agrees with them."""
    corpus = scifact().corpus
    position = {corpus.text(row): row for row in range(len(corpus))}
    made = []
    for number, each in enumerate(lists):
        rows = np.array([position[text] for text in each.passages])
        made.append(LabelledQuery(str(number), each.query, "teacher", rows, order_scores(len(rows), len(rows))))
    return made


def lists_of_scifact() -> list[RankedList]:
    dataset = scifact()
    rankings, _ = read_rankings(bundled("scifact") / "rankings.jsonl", dataset)
    return [
        RankedList(
            dataset.queries[each.query_id].text,
            tuple(dataset.corpus.texts(map(dataset.corpus.position, each.ranking))),
            np.zeros((len(each.ranking), 3), dtype=np.float32),
            len(each.ranking),
        )
        for each in rankings[:LISTS]
    ]
