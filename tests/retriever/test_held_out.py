"""The head stays only where the LLM's rankings, which did not teach it, are likelier with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

import rankstill
from rankstill.config import Config
from rankstill.labels import LabelledQuery
from rankstill.retriever import HeldOut
from rankstill.retriever.adapter import PassageAdapter
from rankstill.retriever.head import Encoded, Head
from rankstill.retriever.held_out import held_out

DIMENSIONS, PASSAGES, QUERIES = 16, 40, 30


def unit(random: np.random.Generator, count: int) -> np.ndarray:
    made = random.normal(size=(count, DIMENSIONS)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def moved_head() -> Head:
    """A head whose adapter moves passages anywhere."""
    torch.manual_seed(1)
    adapter = PassageAdapter(DIMENSIONS, 32)
    with torch.no_grad():
        for weight in adapter.parameters():
            weight.normal_()
    return Head(adapter, None)


def labels_by(scores: np.ndarray, source: Sequence[str]) -> list[LabelledQuery]:
    made = []
    for row, (each, kind) in enumerate(zip(scores, source, strict=True)):
        order = np.argsort(-each)[:10]
        made.append(LabelledQuery(str(row), "", kind, order, each[order]))  # type: ignore[arg-type]
    return made


@pytest.mark.parametrize("by_head", [True, False])
def test_rankings_by_one_of_the_two_speak_for_it(by_head: bool) -> None:
    random = np.random.default_rng(0)
    queries, passages, head = Encoded(unit(random, QUERIES)), Encoded(unit(random, PASSAGES)), moved_head()
    with torch.inference_mode():
        after = (head.queries(queries) @ head.passages(passages)[0].T).numpy()
    scores = after if by_head else queries.vectors @ passages.vectors.T
    found = held_out(head, labels_by(scores, ["teacher"] * 20 + ["pseudo"] * 10), queries, passages)
    assert found is not None
    assert found.lists == 20
    assert found.better == by_head
    assert max(found.before, found.after) < np.log(np.arange(1, 11)).sum() + 0.1  # chance, for lists of ten


@pytest.mark.parametrize("sources", [["teacher"] * QUERIES, ["pseudo"] * QUERIES])
def test_nothing_is_held_out_where_all_taught_or_none_was_ranked(sources: list[str]) -> None:
    random = np.random.default_rng(0)
    queries, passages = Encoded(unit(random, QUERIES)), Encoded(unit(random, PASSAGES))
    labels = labels_by(queries.vectors @ passages.vectors.T, sources)
    assert held_out(moved_head(), labels, queries, passages) is None


@pytest.mark.parametrize("only_if_better", [True, False])
def test_a_chain_whose_head_does_harm_keeps_its_retriever_and_says_so(
    only_if_better: bool, toy_config: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "rankstill.retriever.head_training.held_out", lambda *_: HeldOut(lists=24, before=3.0, after=4.0)
    )
    outcome = rankstill.distill(
        toy_config({"head.only_if_better": only_if_better, "retriever.epochs": 0}), tmp_path / "w"
    )
    assert outcome.table is not None
    before, after = (outcome.table.system(name).values for name in ("retriever before", "retriever AFTER"))
    assert (before == after) == only_if_better
    said = any("the head was left out: the 24 LLM-ranked queries" in note for note in outcome.notes)
    assert said == only_if_better
    kept = np.load(tmp_path / "w" / "vectors-after" / "passages.npy")
    old = np.load(tmp_path / "w" / "vectors" / "passages.npy")
    assert (kept.shape == old.shape and np.array_equal(kept, old)) == only_if_better
    assert json.loads((tmp_path / "w" / "head-held-out.json").read_text()) == {"lists": 24, "before": 3.0, "after": 4.0}


def test_where_the_lists_alone_teach_the_head_those_that_do_not_judge_it() -> None:
    random = np.random.default_rng(0)
    queries, passages, head = Encoded(unit(random, QUERIES)), Encoded(unit(random, PASSAGES)), moved_head()
    labels = labels_by(queries.vectors @ passages.vectors.T, ["teacher"] * QUERIES)
    found = held_out(head, labels, queries, passages, judging={"3", "4", "5", "6"})
    assert found is not None
    assert found.lists == 4
    assert not found.better


def test_judging_lists_do_not_teach_a_head_that_has_no_other_teacher() -> None:
    from rankstill.config import HeadConfig
    from rankstill.retriever.head_training import train_head

    random = np.random.default_rng(0)
    queries, passages = Encoded(unit(random, QUERIES)), Encoded(unit(random, PASSAGES))
    labels = labels_by(queries.vectors @ passages.vectors.T, ["teacher"] * QUERIES)
    judging = {str(row) for row in range(5)}
    other = labels_by(-queries.vectors @ passages.vectors.T, ["teacher"] * QUERIES)
    trained = []
    for taught in (labels, [*other[:5], *labels[5:]], [*labels[:5], *other[5:]]):
        torch.manual_seed(1)
        head = Head(PassageAdapter(DIMENSIONS, 32), None)
        config = HeadConfig(width=32, token_dimensions=0, steps=30, queries_per_step=8)
        train_head(
            head, taught, queries, passages, config, judging=judging, teacher_temperature=1.0, seed=0, device="cpu"
        )
        trained.append(torch.cat([each.detach().flatten() for each in head.parameters()]))
    assert torch.equal(trained[0], trained[1])
    assert not torch.equal(trained[0], trained[2])


def test_a_chain_without_free_labels_has_its_head_judged_by_lists_that_did_not_teach_it(
    toy_config: Callable[..., Config], tmp_path: Path
) -> None:
    config = toy_config({"labels.pseudo_queries": 0, "retriever.epochs": 0, "ranker.cross_encoder": False})
    outcome = rankstill.distill(config, tmp_path / "w", until="reranker")
    found = json.loads((tmp_path / "w" / "head-held-out.json").read_text())
    assert found["lists"] == 4  # 15 % of 24
    left_out = any("the head was left out: the 4 LLM-ranked queries" in note for note in outcome.notes)
    assert left_out == (found["after"] >= found["before"])
