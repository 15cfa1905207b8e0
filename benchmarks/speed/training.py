"""Training: our ranker's and our retriever's against the stock trainers with their defaults, on the same lists."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from benchmarks.speed.data import MINILM, scifact
from benchmarks.speed.measure import Result, alternate, rates

from rankstill.config import RankerConfig, RetrieverConfig
from rankstill.datasets import bundled
from rankstill.labels.labelling import order_alone
from rankstill.labels.table import LabelledQuery
from rankstill.ranker import RankedList, train_ranker
from rankstill.retriever import train_retriever
from rankstill.teacher import read_rankings

LISTS, ROUNDS = 24, 3


def ranker_training() -> list[Result]:
    """Pairs a second, of an epoch over a few lists, loading and all."""
    lists = _lists()
    config = RankerConfig(prior=False)
    return _beside(
        "ranker training",
        "CrossEncoderTrainer + ListMLELoss",
        lambda folder: train_ranker(lists, config, MINILM, folder, seed=0, device="cpu"),
        lambda: stock_ranker(lists),
        (sum(len(each.passages) for each in lists), "pairs/s", ">= 6x"),
        f"{config.max_length} tokens a pair, stock 512",
    )


def retriever_training() -> list[Result]:
    """Queries a second, of an epoch over a few lists, loading and all."""
    lists = _lists()
    corpus = scifact().corpus
    position = {corpus.text(row): row for row in range(len(corpus))}
    labels = [
        LabelledQuery(
            str(number),
            each.query,
            "teacher",
            np.array([position[text] for text in each.passages]),
            order_alone(len(each.passages), len(each.passages)),
        )
        for number, each in enumerate(lists)
    ]
    config = RetrieverConfig(model=MINILM, epochs=1)
    return _beside(
        "retriever training",
        "SentenceTransformerTrainer + DistillKLDivLoss",
        lambda folder: train_retriever(labels, corpus, config, folder, seed=0, device="cpu"),
        lambda: stock_retriever(lists),
        (len(lists), "queries/s", ">= 5x"),
        f"{config.training_length} tokens a passage, stock 256",
    )


def _beside(
    what: str,
    peer: str,
    ours: Callable[[Path], object],
    theirs: Callable[[], object],
    items: tuple[int, str, str],
    read: str,
) -> list[Result]:
    """Our training, into a folder that goes, beside the stock one's; `items`: how many, of what, which goal."""

    def into_a_folder() -> None:
        with tempfile.TemporaryDirectory() as folder:
            ours(Path(folder))

    count, unit, goal = items
    seconds = alternate(into_a_folder, theirs, ROUNDS, warm_up=False)
    return [
        Result(
            what,
            f"{peer}, defaults",
            unit,
            goal=f"{goal}, nDCG@10 within 0.005",
            quality=f"{read}; what it does to nDCG@10 is not measured here",
            **rates(count, *seconds),
        )
    ]


def stock_ranker(lists: list[RankedList]) -> object:
    """A cross-encoder from the same weights, by the stock trainer as its documentation shows it."""
    from sentence_transformers import CrossEncoder
    from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments
    from sentence_transformers.cross_encoder.losses import ListMLELoss

    from datasets import Dataset as Rows
    from rankstill.models import resolve_model

    model = CrossEncoder(resolve_model(MINILM), num_labels=1, device="cpu")
    rows = Rows.from_dict(
        {
            "query": [each.query for each in lists],
            "docs": [list(each.passages) for each in lists],
            "labels": [list(range(len(each.passages), 0, -1)) for each in lists],
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        args = CrossEncoderTrainingArguments(folder, num_train_epochs=1, **_QUIET)
        CrossEncoderTrainer(model=model, args=args, train_dataset=rows, loss=ListMLELoss(model)).train()
    return model


def stock_retriever(lists: list[RankedList]) -> object:
    """The same bi-encoder, by the stock trainer as its documentation shows it."""
    from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
    from sentence_transformers import SentenceTransformerTrainingArguments as Arguments
    from sentence_transformers.losses import DistillKLDivLoss

    from datasets import Dataset as Rows
    from rankstill.models import resolve_model

    model = SentenceTransformer(resolve_model(MINILM), device="cpu")
    passages = min(len(each.passages) for each in lists)
    rows = Rows.from_dict(
        {
            "query": [each.query for each in lists],
            **{f"passage{rank}": [each.passages[rank] for each in lists] for rank in range(passages)},
            "label": [order_alone(passages, passages).tolist() for _ in lists],
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        args = Arguments(folder, num_train_epochs=1, **_QUIET)
        SentenceTransformerTrainer(model=model, args=args, train_dataset=rows, loss=DistillKLDivLoss(model)).train()
    return model


# Neither makes it faster or slower to speak of.
_QUIET = {"use_cpu": True, "save_strategy": "no", "report_to": "none", "disable_tqdm": True}


def _lists(count: int = LISTS) -> list[RankedList]:
    dataset = scifact()
    rankings, _ = read_rankings(bundled("scifact") / "rankings.jsonl", dataset)
    return [
        RankedList(
            dataset.queries[each.query_id].text,
            tuple(dataset.corpus.texts(map(dataset.corpus.position, each.ranking))),
            np.zeros((len(each.ranking), 3), dtype=np.float32),
            len(each.ranking),
        )
        for each in rankings[:count]
    ]
