"""`benchmarks/judged.py`: the verdict by people, and by judges that answer as people did, with noise."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import rankstill
from rankstill.config import Config
from rankstill.data import load_dataset

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(not (ROOT / "benchmarks").is_dir(), reason="benchmarks are not part of the source distribution")
def test_a_judge_without_noise_gives_peoples_figures_and_bad_ones_are_named(
    toy_config: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])
    study = importlib.import_module("benchmarks.judged")
    config = toy_config({"ranker.cross_encoder": False, "multi_vector.make": False})
    made = rankstill.distill(config, tmp_path / "w")
    before = (tmp_path / "w" / "metrics.json").read_bytes()
    found = study.measure(tmp_path / "w", tmp_path / "study", load_dataset(config.dataset), 0)
    assert (tmp_path / "w" / "metrics.json").read_bytes() == before
    assert made.table is not None
    assert found["people"]["after"] == pytest.approx(made.table.system("distilled retriever").values["nDCG@10"])
    assert "8 queries that taught nothing" in found["offer"]
    assert not list((tmp_path / "study" / "dataset" / "qrels").iterdir())
    judge = found["judges"]["0% of its grades random"]
    assert (judge["same"], judge["tau"]) == (judge["of"], pytest.approx(1))
    assert found["checks"]["always 3"].startswith("cannot judge: it gives one grade, 3")
    assert "it prefers what is shown first" in found["checks"]["prefers the first shown"]
    assert "| toy, distilled retriever | people | 8 |" in study.to_markdown([json.loads(json.dumps(found))])
