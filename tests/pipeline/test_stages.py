"""Each stage is a command of its own, on the same workspace."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rankstill.config import Config, write_config
from rankstill.steps import title
from toy import TOY_STEPS


def up_to(step: str) -> tuple[str, ...]:
    return TOY_STEPS[: TOY_STEPS.index(step) + 1]


STAGES = {
    "candidates": ("vectors", "candidates"),
    "teach": ("vectors", "candidates", "rankings"),
    "hybrid": up_to("hybrid"),
    "train-ranker": up_to("ranker"),
    "label": up_to("labels"),
    "train-retriever": up_to("retriever"),
    "evaluate": TOY_STEPS,
}


@pytest.fixture
def config_file(toy_config: Callable[..., Config], tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(write_config(toy_config()))
    return path


def steps_of(workspace: Path) -> dict[str, Any]:
    steps: dict[str, Any] = json.loads((workspace / "manifest.json").read_text())["steps"]
    return steps


def test_the_stages_one_after_another_make_the_chain_and_repeat_no_step(
    command: Callable[..., Any], config_file: Path, tmp_path: Path
) -> None:
    workspace = tmp_path / "w"
    before: dict[str, Any] = {}
    written: dict[Path, int] = {}
    for stage, steps in STAGES.items():
        said = command(stage, config_file, "-w", workspace)
        assert said.code == 0, said.errors
        after = steps_of(workspace)
        assert tuple(after) == steps
        assert {step: after[step] for step in before} == before
        for step in before:
            assert said.errors.count(f", {title(step)}: already done") == 1
        assert {path: path.stat().st_mtime_ns for path in written} == written
        numbers = re.findall(
            r"^step (\d+) of (\d+), .*: (?:already done|done in \d+ s, \d+ s in all)", said.errors, re.M
        )
        assert numbers == [(str(place), str(len(steps))) for place in range(1, len(steps) + 1)]
        before = after
        outputs = [workspace / name for record in after.values() for name in record["outputs"]]
        written = {path: path.stat().st_mtime_ns for path in outputs if path.is_file()}
    assert "distilled retriever" in said.output
    assert str(workspace / "retriever") in said.output


def test_a_stage_makes_the_steps_before_it_that_are_missing(
    command: Callable[..., Any], config_file: Path, tmp_path: Path
) -> None:
    said = command("label", config_file, "-w", tmp_path / "w")
    assert said.code == 0, said.errors
    assert tuple(steps_of(tmp_path / "w")) == STAGES["label"]


def test_run_goes_on_from_the_stages(command: Callable[..., Any], config_file: Path, tmp_path: Path) -> None:
    command("train-ranker", config_file, "-w", tmp_path / "w")
    before = steps_of(tmp_path / "w")
    said = command("run", config_file, "-w", tmp_path / "w")
    assert said.code == 0, said.errors
    after = steps_of(tmp_path / "w")
    assert tuple(after) == TOY_STEPS
    assert {step: after[step] for step in before} == before
    assert [step for step in TOY_STEPS if f", {title(step)}: already done" in said.errors] == list(before)


def test_flags_do_without_a_config(
    command: Callable[..., Any], toy_dataset_folder: Path, tiny_model_folder: Path, tmp_path: Path
) -> None:
    flags = ["--source", toy_dataset_folder, "--retriever", tiny_model_folder, "--set", "candidates.k=5"]
    said = command("teach", *flags, "-w", tmp_path / "w")
    assert said.code == 0, said.errors
    assert tuple(steps_of(tmp_path / "w")) == STAGES["teach"]
