"""What these tests share: the programs of docs/integrations.md, their texts, and a chain of seconds."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

PAGE = Path(__file__).resolve().parents[2] / "docs" / "integrations.md"
PASSAGES = ["The volcano erupts each year.", "Bread needs flour and yeast."]
QUERY = "when does the volcano erupt"


@dataclass(frozen=True)
class Distilled:
    """A retriever's folder, as a reader has it, and what it makes of the texts of the programs.

    Args:
        folder: of the model.
        query: by `encode_query`. [dimensions]
        passages: by `encode_document`. [2, dimensions]
        query_untold: the query by `encode`, which is told neither route nor prompt. [dimensions]
    """

    folder: Path
    query: NDArray[np.float32]
    passages: NDArray[np.float32]
    query_untold: NDArray[np.float32]

    @property
    def best_first(self) -> list[str]:
        """The passages in the order that a search for the query should give."""
        return [PASSAGES[row] for row in np.argsort(-(self.passages @ self.query))]


def run_snippet(library: str) -> dict[str, Any]:
    """The page's program under this heading, run as it stands; the names that it leaves behind."""
    section = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    (text,) = [each for each in section if each.startswith(f"{library}\n")]
    (program,) = re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {"__name__": "snippet"}
    exec(compile(program, f"{PAGE.name}: {library}", "exec"), names)
    return names


def need(*modules: str, install: str) -> None:
    """Skip the test where a library is not installed."""
    for name in modules:
        try:
            found = importlib.util.find_spec(name) is not None
        except ModuleNotFoundError:  # not even the package that it is part of
            found = False
        if not found:
            pytest.skip(f"{name} is not installed: pip install {install}")


def close(left: object, right: NDArray[np.float32]) -> bool:
    return np.allclose(np.asarray(left, dtype=np.float32), right, atol=1e-5)


def small_config(dataset: Path, model: Path) -> dict[str, Any]:
    """A chain of seconds on the toy dataset."""
    return {
        "dataset": {"source": str(dataset)},
        "candidates": {"k": 5, "n": 6},
        "ranker": {"model": str(model), "max_length": 32},
        "retriever": {"model": str(model)},
        "evaluation": {"resamples": 200},
        "device": "cpu",
    }
