"""The demo: the whole chain on SciFact with recorded LLM rankings, no key and no hub needed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rankstill.config import Config, make_config
from rankstill.data import SAMPLE, load_dataset
from rankstill.outcome import Outcome
from rankstill.pipeline import distill
from rankstill.progress import say

# On two cores a cross-encoder taught by 537 lists takes a third of the time and, on training claims held out for it,
# adds nothing to the prior (docs/recipe.md): the demo's ranker is the prior alone. Training the multi-vector retriever
# takes as long and gains nothing on SciFact (docs/studies.md).
_DEMO: dict[str, Any] = {"ranker.cross_encoder": False, "multi_vector.epochs": 0}
_QUICK: dict[str, Any] = {"dataset.source": SAMPLE, "retriever.epochs": 1}


def demo_config(changes: Mapping[str, Any] | None = None) -> Config:
    """The demo's configuration: the defaults on SciFact (or those of a preset), adapted to two cores."""
    changes = changes or {}
    own = {} if changes.get("preset") == "paper" else _DEMO
    return make_config({"dataset": {"source": "scifact"}}, {**own, **changes}, "demo")


def run_demo(
    workspace: Path,
    *,
    quick: bool = False,
    all_claims: bool = False,
    replace: bool = False,
    changes: Mapping[str, Any] | None = None,
) -> Outcome:
    """Distil SciFact's recorded rankings into all-MiniLM-L6-v2.

    Args:
        quick: work on a sample; the figures are those of the sample.
        all_claims: train on all 809 claims, those that leak into the test split too.
    """
    leaks = {"dataset.leaks": "keep" if all_claims else "drop"}
    config = demo_config({**leaks, **(_QUICK if quick else {}), **(changes or {})})
    dataset = load_dataset(config.dataset)
    if quick:
        dataset = dataset.with_notes("run without --quick for real figures, on a corpus more than six times the size")
    say(
        f"{dataset.name}: {len(dataset.corpus):,} passages, {len(dataset.train)} claims teach, "
        f"{len(dataset.test)} measure"
    )
    return distill(config, workspace, dataset, replace=replace)
