"""What one training step of the retriever holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rankstill.labels import LabelledQuery
from rankstill.retriever.batches import BatchBuilder, BatchCollator

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def labelled(name: str, positions: list[int]) -> LabelledQuery:
    """A query whose scores descend from 3 by a tenth, marked by the name's length so that no two queries share them."""
    scores = 3 - 0.1 * np.arange(len(positions)) + 0.001 * len(name)
    return LabelledQuery(
        name, f"text of {name}", "teacher", np.array(positions, dtype=np.int64), scores.astype(np.float32)
    )


LABELLED = [labelled("m", [4, 9, 2, 7]), labelled("mm", [30, 9, 31, 32]), labelled("mmm", [50, 51])]


def test_every_label_stands_in_its_querys_row_and_its_passages_column() -> None:
    step = BatchBuilder(LABELLED, passages_per_query=4, seed=0).build([1, 0])
    assert step.positions.tolist() == [2, 4, 7, 9, 30, 31, 32]
    assert step.queries == ["text of mm", "text of m"]
    no = -np.inf
    expected = [
        [no, no, no, 2.902, 3.002, 2.802, 2.702],
        [2.801, 3.001, 2.701, 2.901, no, no, no],
    ]
    np.testing.assert_allclose(step.labels, expected, atol=1e-5)


QUERIES = st.lists(st.lists(st.integers(0, 25), min_size=2, max_size=8, unique=True), min_size=1, max_size=6).map(
    lambda lists: [labelled("m" * (row + 1), positions) for row, positions in enumerate(lists)]
)


@given(QUERIES, st.integers(2, 6), st.integers(0, 100))
def test_a_step_holds_what_it_promises(queries: list[LabelledQuery], per_query: int, seed: int) -> None:
    step = BatchBuilder(queries, per_query, seed).build(range(len(queries)))
    assert step.queries == [query.text for query in queries]
    assert step.positions.tolist() == sorted(set(step.positions.tolist()))
    assert len(step.positions) <= sum(min(per_query, len(query.positions)) for query in queries)
    for query, row in zip(queries, step.labels, strict=True):
        own = set(query.positions.tolist()) & set(step.positions.tolist())
        assert query.positions[0] in own  # the best is always there
        assert len(own) >= min(per_query, len(query.positions))
        scores = dict(zip(query.positions.tolist(), query.scores.tolist(), strict=True))
        assert row.tolist() == [scores.get(position, -np.inf) for position in step.positions.tolist()]


def test_beside_the_best_passages_are_drawn_anew_for_each_step_by_the_rankers_distribution() -> None:
    query = LabelledQuery("m", "m", "teacher", np.array([3, 1, 5, 8]), np.float32([9.0, np.log(6), np.log(3), 0.0]))
    builder = BatchBuilder([query], passages_per_query=2, seed=0)
    drawn = [builder.build([0]).positions.tolist() for _ in range(3000)]
    assert all(len(positions) == 2 and 3 in positions for positions in drawn)
    shares = [sum(passage in positions for positions in drawn) / 3000 for passage in (1, 5, 8)]
    assert shares == pytest.approx([0.6, 0.3, 0.1], abs=0.04)


def test_the_same_seed_builds_the_same_steps_and_another_seed_others() -> None:
    queries = [labelled("m" * row, [*range(row, row + 12)]) for row in range(1, 5)]

    def steps(seed: int) -> list[tuple[list[str], list[int]]]:
        builder = BatchBuilder(queries, passages_per_query=4, seed=seed)
        return [(step.queries, step.positions.tolist()) for step in map(builder.build, ([0, 1], [2, 3], [1, 2]))]

    assert steps(5) == steps(5)
    assert steps(5) != steps(6)


def collate(model: SentenceTransformer) -> dict[str, torch.Tensor]:
    builder = BatchBuilder(LABELLED, passages_per_query=4, seed=0)
    batch: dict[str, torch.Tensor] = BatchCollator(builder, lambda position: f"passage {position}", model)(
        [{"row": 1}, {"row": 0}]
    )
    return batch


def test_a_batch_holds_the_tokens_of_the_steps_queries_and_passages(tiny_model: SentenceTransformer) -> None:
    batch = collate(tiny_model)
    queries = ["text of mm", "text of m"]
    passages = [f"passage {position}" for position in (2, 4, 7, 9, 30, 31, 32)]
    for column, texts in (("query", queries), ("passage", passages)):
        decoded = tiny_model.tokenizer.batch_decode(batch[f"{column}_input_ids"], skip_special_tokens=True)
        expected = tiny_model.tokenizer.batch_decode(
            tiny_model.preprocess(texts)["input_ids"], skip_special_tokens=True
        )
        assert decoded == expected


@pytest.mark.usefixtures("full_precision")
def test_training_sees_texts_with_the_prompts_that_encoding_adds(tiny_model: SentenceTransformer) -> None:
    tiny_model.prompts = {"query": "tulip: ", "document": "glacier: "}
    batch = collate(tiny_model)
    for column, encode, texts in (
        ("query", tiny_model.encode_query, ["text of mm", "text of m"]),
        ("passage", tiny_model.encode_document, ["passage 2", "passage 4"]),
    ):
        tokens = {name: batch[f"{column}_{name}"] for name in ("input_ids", "attention_mask", "token_type_ids")}
        with torch.no_grad():
            vectors = tiny_model(tokens)["sentence_embedding"]
        np.testing.assert_allclose(vectors[:2], encode(texts), atol=1e-5)
