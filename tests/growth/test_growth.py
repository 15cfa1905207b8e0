"""Peak memory does not follow the corpus: three times the passages, the same memory, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SMALL, LARGE = 160_000, 480_000
"""Passages. Both many of the blocks that are searched at once, so that the allocator has come to rest."""
FEW_MB = 40
"""Noise of the allocators; the passages more take 491 MB of vectors and 65 MB of text."""


def peak_mb(what: str, size: int, folder: Path) -> float:
    """The highest memory of a process that does nothing else, less the pages of files, which the system takes back."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "benchmarks.growth.child", what, str(size), str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, env=environment)
    found = json.loads(done.stdout.splitlines()[-1])
    return float(found["peak_mb"]) - float(found["mapped_mb"])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="measures as Linux does")
def test_memory_of_encoding_and_of_exact_search_does_not_follow_the_corpus(tmp_path: Path) -> None:
    peaks = {
        what: [peak_mb(what, size, tmp_path / str(size)) for size in (SMALL, LARGE)]
        for what in ("encoding", "searching")
    }
    for what, (small, large) in peaks.items():
        assert large - small < FEW_MB, f"{what}: {small:.0f} MB of {SMALL:,}, {large:.0f} MB of {LARGE:,} passages"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="measures as Linux does")
@pytest.mark.parametrize("what", ["labels", "short-labels"])
def test_a_million_labelled_pairs_are_written_read_and_drawn_from_within_1_gb(what: str, tmp_path: Path) -> None:
    assert peak_mb(what, 1_000_000, tmp_path) < 850  # and 150 MB of the libraries' own files
