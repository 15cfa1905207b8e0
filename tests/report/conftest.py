"""Workspaces as a chain leaves them, made in a moment: real files and measures, no model."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from rankstill.config import make_config, write_config
from rankstill.data import Dataset
from rankstill.evaluation import Run, evaluate_runs, write_run
from rankstill.teacher import Ranking, write_rankings
from rankstill.workspace import FORMAT

MakeWorkspace = Callable[..., Path]
"""`workspace_of(dataset, source, name="w", gold_ranks=..., changes=..., further=...)`

`further`: system -> the gold passage's rank by the query's number, of systems that are not the old or the new run.
"""

SYSTEMS = (
    "BM25",
    "retriever before",
    "first stage",
    "hybrid before",
    "ranker",
    "distilled retriever",
    "distilled hybrid",
    "ranker on distilled",
    "multi-vector",
    "multi-vector hybrid",
)
_STEPS = {
    "vectors": ["vectors"],
    "candidates": ["candidates.parquet"],
    "rankings": ["rankings.jsonl"],
    "ranker": ["ranker-losses.json"],
    "retriever": ["retriever-losses.json"],
    "evaluation": ["metrics.json", "runs"],
}


def _run(dataset: Dataset, gold_rank: Callable[[int], int]) -> Run:
    """Twelve passages a query; its gold one at a rank that depends on the query's number."""
    run: Run = {}
    for number, query_id in enumerate(dataset.test):
        gold = next(iter(dataset.qrels[query_id]))
        order = [each for each in dataset.corpus.ids if each != gold][:11]
        order.insert(min(gold_rank(number), 12) - 1, gold)
        run[query_id] = {each: 1 / (1 + rank) for rank, each in enumerate(order)}
    return run


@pytest.fixture
def workspace_of(tmp_path: Path) -> MakeWorkspace:
    """Makes a finished workspace of a loaded dataset."""

    def make(
        dataset: Dataset,
        source: Path,
        name: str = "w",
        gold_ranks: tuple[int, int] = (3, 1),
        changes: dict[str, Any] | None = None,
        further: Mapping[str, Callable[[int], int]] | None = None,
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        small = {"evaluation.resamples": 200, **(changes or {})}
        config = make_config({"dataset": {"source": str(source)}}, small)
        (folder / "config.yaml").write_text(write_config(config), encoding="utf-8")
        before, after = gold_ranks
        # Every fourth query gets worse, every fourth stays: a report of all kinds.
        old = _run(dataset, lambda number: (before, before, after, before)[number % 4])
        new = _run(dataset, lambda number: (after, after, before, before)[number % 4])
        runs = {system: new if "distilled" in system or system == "ranker" else old for system in SYSTEMS}
        runs |= {system: _run(dataset, gold_rank) for system, gold_rank in (further or {}).items()}
        for system, run in runs.items():
            write_run(run, folder / "runs" / f"{system.replace(' ', '-')}.trec", system.replace(" ", "-"))
        table = evaluate_runs(runs, dataset.test_qrels(), "retriever before", resamples=200)
        (folder / "metrics.json").write_text(json.dumps({"table": table.to_json(), "leaks": ""}))
        rankings = [
            Ranking(query_id, tuple(dataset.corpus.ids[:4]), tuple(reversed(dataset.corpus.ids[:4])), teacher="toy")
            for query_id in dataset.train[:5]
        ]
        write_rankings(rankings, folder / "rankings.jsonl")
        curve = [{"step": 10.0 * step, "loss": 1 / step, "kl": 0.9 / step} for step in range(1, 6)]
        for part, entries in (("ranker", []), ("retriever", []), ("head", curve)):
            (folder / f"{part}-losses.json").write_text(json.dumps(entries))
        write_manifest(folder, _STEPS)
        return folder

    return make


def write_manifest(folder: Path, steps: dict[str, list[str]]) -> None:
    records = {
        step: {
            "fingerprint": "0123456789abcdef",
            "outputs": outputs,
            "seconds": 61.5,
            "peak_memory_mb": 512.0,
            "versions": {"rankstill": "0.1.0", "numpy": "2.0"},
            "notes": [],
        }
        for step, outputs in steps.items()
    }
    (folder / "manifest.json").write_text(json.dumps({"format": FORMAT, "steps": records}))


@pytest.fixture
def toy_workspace(workspace_of: MakeWorkspace, toy_dataset: Dataset, toy_dataset_folder: Path) -> Path:
    """A finished workspace of the toy dataset."""
    return workspace_of(toy_dataset, toy_dataset_folder)
