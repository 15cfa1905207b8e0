"""A chain as a large corpus needs it: a word index made once, an approximate index."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rankstill.pipeline import distill
from rankstill.retrieval import bm25, read_candidates

if TYPE_CHECKING:
    from collections.abc import Callable

    from rankstill.config import Config
    from rankstill.data import Dataset

    MakeConfig = Callable[..., Config]


def test_a_chain_makes_its_word_index_once(
    toy_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, made = bm25.write_index, []
    monkeypatch.setattr(bm25, "write_index", lambda *given: made.append(1) or real(*given))
    distill(toy_config(), tmp_path / "w")
    distill(toy_config({"labels.unranked": 7}), tmp_path / "w")
    assert len(made) == 1


def test_an_index_that_finds_enough_is_used_and_its_recall_noted(
    toy_config: MakeConfig, toy_dataset: Dataset, tmp_path: Path
) -> None:
    pytest.importorskip("faiss")
    found = []
    for name, index in (("exact", None), ("index", "IVF4,Flat")):
        outcome = distill(toy_config({"candidates.index": index}), tmp_path / name, until="candidates")
        found.append(read_candidates(outcome.workspace / "candidates.parquet", toy_dataset.corpus))
    assert any("recall 1.000" in note and "used" in note for note in outcome.notes)
    assert {key: value.tolist() for key, value in found[0].items()} == {k: v.tolist() for k, v in found[1].items()}


def test_an_index_that_finds_too_little_gives_way_to_exact_search(
    toy_config: MakeConfig, toy_dataset: Dataset, tmp_path: Path
) -> None:
    pytest.importorskip("faiss")
    from rankstill.retrieval import approximate

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(approximate, "DEPTH", 5)
        patch.setattr(approximate, "_LOOKED_AT", 1)
        changes: dict[str, Any] = {"candidates.index": "PQ1x1", "candidates.least_recall": 1.0}
        outcome = distill(toy_config(changes), tmp_path / "poor", until="candidates")
    plain = distill(toy_config(), tmp_path / "plain", until="candidates")
    assert any("so search is exact" in note for note in outcome.notes)
    poor, exact = (
        read_candidates(each.workspace / "candidates.parquet", toy_dataset.corpus) for each in (outcome, plain)
    )
    assert {key: value.tolist() for key, value in poor.items()} == {k: v.tolist() for k, v in exact.items()}
