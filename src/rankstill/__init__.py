"""Rankstill: distil a black-box LLM's rankings into a small, fast, better retriever.

The public API, loaded on first use, so that `import rankstill` stays fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rankstill.config import Config, read_config
    from rankstill.data import Dataset, load_dataset
    from rankstill.errors import RankstillError
    from rankstill.evaluation import evaluate_runs
    from rankstill.outcome import Outcome
    from rankstill.pipeline import distill
    from rankstill.ranker import Ranker
    from rankstill.retrieval.hybrid import Hybrid, HybridSearcher

__version__ = "0.1.0"

_HOME = {
    "Config": "rankstill.config",
    "Dataset": "rankstill.data",
    "Hybrid": "rankstill.retrieval.hybrid",
    "HybridSearcher": "rankstill.retrieval.hybrid",
    "Outcome": "rankstill.outcome",
    "Ranker": "rankstill.ranker",
    "RankstillError": "rankstill.errors",
    "distill": "rankstill.pipeline",
    "evaluate_runs": "rankstill.evaluation",
    "load_dataset": "rankstill.data",
    "read_config": "rankstill.config",
}

__all__ = [
    "Config",
    "Dataset",
    "Hybrid",
    "HybridSearcher",
    "Outcome",
    "Ranker",
    "RankstillError",
    "distill",
    "evaluate_runs",
    "load_dataset",
    "read_config",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'rankstill' has no attribute {name!r}")
