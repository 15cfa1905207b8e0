"""`rankstill prove`: slices, attribution and forgetting of a finished chain, printed and kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from rankstill.config import Config
from rankstill.extras import proof

MakeConfig = Callable[..., Config]


def test_it_says_for_which_queries_which_link_and_what_was_forgotten(
    toy_config: MakeConfig, toy_dataset_folder: Path, finished_copy: Path
) -> None:
    text = proof.prove(toy_config(), finished_copy)
    for title in ("## Which link lost most", "## For which queries", "## What was forgotten, on nq-open"):
        assert title in text
    assert (finished_copy / "proof.md").read_text(encoding="utf-8") == text
    kept = json.loads((finished_copy / "proof.json").read_text(encoding="utf-8"))
    assert [title for title in kept if "agreement" in title.lower()]
    assert len(kept) == 4
