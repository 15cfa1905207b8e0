"""What one training step of the retriever holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rankstill.labels import LabelledQuery
from rankstill.labels.table import Source
from rankstill.retriever.steps import StepBuilder, StepCollator

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def labelled(
    name: str, positions: list[int], source: Source = "teacher", made_from: int | None = None
) -> LabelledQuery:
    """A query whose scores descend from 3 by a tenth, marked by the name's length so that no two queries share them."""
    scores = 3 - 0.1 * np.arange(len(positions)) + 0.001 * len(name)
    return LabelledQuery(
        name, f"text of {name}", source, np.array(positions, dtype=np.int64), scores.astype(np.float32), made_from
    )


MAIN = [labelled("m", [4, 9, 2, 7]), labelled("mm", [30, 9, 31, 32]), labelled("mmm", [50, 51])]
RIDERS = [
    labelled("r", [9, 4, 60], "pseudo", made_from=2),
    labelled("rr", [4, 70, 71], "extra"),  # shares one passage with the first two at most
    labelled("rrr", [31, 30, 32, 9], "extra"),
    labelled("rrrr", [80, 81], "extra"),
]


def test_every_label_stands_in_its_querys_row_and_its_passages_column() -> None:
    step = StepBuilder(MAIN, RIDERS, passages_per_query=4, riders_per_step=10, seed=0).build([1, 0])
    assert step.positions.tolist() == [2, 4, 7, 9, 30, 31, 32]
    assert step.main == 2
    assert step.queries == ["text of mm", "text of m", "text of r", "text of rrr"]
    no, nan = -np.inf, np.nan
    expected = [
        [no, no, no, 2.902, 3.002, 2.802, 2.702],
        [2.801, 3.001, 2.701, 2.901, no, no, no],
        [nan, 2.901, no, 3.001, no, no, no],  # made from passage 2
        [no, no, no, 2.703, 2.903, 3.003, 2.803],
    ]
    np.testing.assert_allclose(step.labels, expected, atol=1e-5)


QUERIES = st.lists(st.lists(st.integers(0, 25), min_size=2, max_size=8, unique=True), min_size=1, max_size=6).map(
    lambda lists: [labelled("m" * (row + 1), positions) for row, positions in enumerate(lists)]
)
PSEUDO = st.lists(
    st.tuples(st.lists(st.integers(0, 25), min_size=2, max_size=8, unique=True), st.integers(26, 30)), max_size=8
).map(lambda lists: [labelled("r" * (row + 1), each, "pseudo", made) for row, (each, made) in enumerate(lists)])


@given(QUERIES, PSEUDO, st.integers(2, 6), st.integers(0, 4), st.integers(0, 100))
def test_a_step_holds_what_it_promises(
    main: list[LabelledQuery], riders: list[LabelledQuery], per_query: int, riders_per_step: int, seed: int
) -> None:
    step = StepBuilder(main, riders, per_query, riders_per_step, seed).build(range(len(main)))
    known = {query.text: query for query in (*main, *riders)}
    assert step.queries[: step.main] == [query.text for query in main]
    assert step.positions.tolist() == sorted(set(step.positions.tolist()))
    for query in main:
        own = set(query.positions.tolist()) & set(step.positions.tolist())
        assert query.positions[0] in own  # the best is always there
        assert len(own) >= min(per_query, len(query.positions))
    assert len(step.positions) <= sum(min(per_query, len(query.positions)) for query in main)
    assert len(step.queries) - step.main <= riders_per_step
    for text, row in zip(step.queries, step.labels, strict=True):
        scores = dict(zip(known[text].positions.tolist(), known[text].scores.tolist(), strict=True))
        assert row.tolist() == [scores.get(position, -np.inf) for position in step.positions.tolist()]
        assert np.isfinite(row).sum() >= 2 or text in step.queries[: step.main]


def test_every_rider_that_shares_two_passages_comes_along_where_there_is_room() -> None:
    builder = StepBuilder(MAIN, RIDERS, passages_per_query=4, riders_per_step=10, seed=0)
    assert builder.build([0]).queries == ["text of m", "text of r"]
    assert builder.build([1]).queries == ["text of mm", "text of rrr"]
    assert builder.build([2]).queries == ["text of mmm"]


def test_where_room_is_short_riders_come_in_proportion_to_their_mass_on_the_steps_passages() -> None:
    scores = np.float32([4.0, 3.0, 0.0])
    heavy = LabelledQuery("heavy", "heavy", "pseudo", np.array([4, 9, 60]), scores)
    light = LabelledQuery("light", "light", "pseudo", np.array([60, 4, 9]), scores)
    mass = np.exp(scores) / np.exp(scores).sum()
    builder = StepBuilder(MAIN[:1], [light, heavy], passages_per_query=4, riders_per_step=1, seed=0)
    drawn = [builder.build([0]).queries[1] for _ in range(2000)]
    on_heavy, on_light = mass[0] + mass[1], mass[1] + mass[2]
    assert drawn.count("heavy") / 2000 == pytest.approx(on_heavy / (on_heavy + on_light), abs=0.04)


def test_no_riders_are_taken_where_none_are_wanted() -> None:
    assert StepBuilder(MAIN, RIDERS, 4, riders_per_step=0, seed=0).build([0]).queries == ["text of m"]


def test_beside_the_best_passages_are_drawn_anew_for_each_step_by_the_rankers_distribution() -> None:
    query = LabelledQuery("m", "m", "teacher", np.array([3, 1, 5, 8]), np.float32([9.0, np.log(6), np.log(3), 0.0]))
    builder = StepBuilder([query], [], passages_per_query=2, riders_per_step=0, seed=0)
    drawn = [builder.build([0]).positions.tolist() for _ in range(3000)]
    assert all(len(positions) == 2 and 3 in positions for positions in drawn)
    shares = [sum(passage in positions for positions in drawn) / 3000 for passage in (1, 5, 8)]
    assert shares == pytest.approx([0.6, 0.3, 0.1], abs=0.04)


def test_the_same_seed_builds_the_same_steps_and_another_seed_others() -> None:
    main = [labelled("m" * row, [*range(row, row + 12)]) for row in range(1, 5)]
    riders = [labelled("r" * row, [*range(row, row + 3)], "extra") for row in range(1, 9)]

    def steps(seed: int) -> list[tuple[list[str], list[int]]]:
        builder = StepBuilder(main, riders, passages_per_query=4, riders_per_step=2, seed=seed)
        return [(step.queries, step.positions.tolist()) for step in map(builder.build, ([0, 1], [2, 3], [1, 2]))]

    assert steps(5) == steps(5)
    assert steps(5) != steps(6)


def collate(model: SentenceTransformer) -> dict[str, torch.Tensor]:
    builder = StepBuilder(MAIN, RIDERS, passages_per_query=4, riders_per_step=10, seed=0)
    batch: dict[str, torch.Tensor] = StepCollator(builder, lambda position: f"passage {position}", model)(
        [{"row": 1}, {"row": 0}]
    )
    return batch


def test_a_batch_holds_the_tokens_of_the_steps_queries_and_passages(tiny_model: SentenceTransformer) -> None:
    batch = collate(tiny_model)
    queries = ["text of mm", "text of m", "text of r", "text of rrr"]
    passages = [f"passage {position}" for position in (2, 4, 7, 9, 30, 31, 32)]
    for column, texts in (("query", queries), ("passage", passages)):
        decoded = tiny_model.tokenizer.batch_decode(batch[f"{column}_input_ids"], skip_special_tokens=True)
        expected = tiny_model.tokenizer.batch_decode(
            tiny_model.preprocess(texts)["input_ids"], skip_special_tokens=True
        )
        assert decoded == expected


def test_a_batch_marks_the_queries_that_the_llm_ranked(tiny_model: SentenceTransformer) -> None:
    label = collate(tiny_model)["label"]
    assert label.dtype == torch.float32
    assert label.shape == (4, 8)
    assert label[:, -1].tolist() == [1, 1, 0, 0]
    assert label[1, 1].item() == pytest.approx(3.001)


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
