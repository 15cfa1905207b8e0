"""Killed with SIGKILL at any moment and started again, the chain ends the same and repeats no finished step."""

from __future__ import annotations

import json
import multiprocessing
import random
import shutil
import signal
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rankstill.config import Config
from rankstill.labels import read_labels
from rankstill.pipeline import distill
from toy import TOPICS, TOY_STEPS

Start = Callable[..., ForkServerProcess]

# Loaded once, so that each of the many processes below starts in no time.
_PRELOADED = [
    "rankstill.pipeline",
    "rankstill.ranker.training",
    "rankstill.retriever.training",
    "rankstill.evaluation.systems",
    "bm25s",
    "datasets",
    "ir_measures",
    "pyarrow.parquet",
    "scipy.optimize",
    "sentence_transformers",
]

# Scores as the chain does, in parts of four queries, and writes down every pair that it scores.
_DRIVER = """
import json

def label(config, folder, log):
    from rankstill.data import load_dataset
    from rankstill.labels import labelling
    from rankstill.pipeline import Chain
    from rankstill.ranker import Ranker
    from rankstill.workspace import Workspace

    labelling._QUERIES_A_SHARD = 4
    score = Ranker.score

    def score_and_log(ranker, pairs, *arguments):
        with open(log, "a", encoding="utf-8") as file:
            file.writelines(json.dumps(pair) + "\\n" for pair in pairs)
        return score(ranker, pairs, *arguments)

    Ranker.score = score_and_log
    with Workspace(folder) as workspace:
        Chain(config, workspace, load_dataset(config.dataset)).run("labels")
"""


@pytest.fixture(scope="module")
def start() -> Start:
    """Starts a function in a process of its own."""
    context: ForkServerContext = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)

    def run(function: Callable[..., object], *arguments: object) -> ForkServerProcess:
        process = context.Process(target=function, args=arguments)
        process.start()
        return process

    return run


@pytest.fixture(scope="module")
def undisturbed(
    start: Start, toy_config: Callable[..., Config], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, float]:
    """A workspace whose chain ran in one go, and how many seconds that took."""
    folder = tmp_path_factory.mktemp("undisturbed") / "w"
    process = start(distill, toy_config(), folder)  # the first one waits for what is preloaded
    process.join()
    assert process.exitcode == 0
    shutil.rmtree(folder)
    started = time.monotonic()
    process = start(distill, toy_config(), folder)
    process.join()
    assert process.exitcode == 0
    return folder, time.monotonic() - started


@pytest.fixture(scope="module")
def other(
    start: Start,
    toy_config: Callable[..., Config],
    toy_dataset_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A finished workspace of another config, none of whose steps is any use. Read-only."""
    folder = tmp_path_factory.mktemp("other")
    rankings = (toy_dataset_folder / "rankings.jsonl").read_text().splitlines(keepends=True)
    (folder / "fewer.jsonl").write_text("".join(rankings[:15]))
    changes = {
        "retriever.passage_prompt": "read: ",
        "candidates.n": 7,
        "teacher.rankings": str(folder / "fewer.jsonl"),
        "labels.unranked": 6,
        "seed": 3,
    }
    finish(start, toy_config(changes), folder / "w")
    return folder / "w"


def kill_when(process: ForkServerProcess, reached: Callable[[], bool]) -> bool:
    """Whether the kill came before the process had ended by itself."""
    while process.is_alive() and not reached():
        time.sleep(0.0002)
    process.kill()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


def other_than_now(path: Path) -> Callable[[], bool]:
    """Whether something else lies there by then, or nothing."""

    def inode() -> int | None:
        try:
            return path.stat().st_ino
        except FileNotFoundError:
            return None

    now = inode()
    return lambda: inode() != now


def finish(start: Start, config: Config, folder: Path) -> None:
    process = start(distill, config, folder)
    process.join()
    assert process.exitcode == 0


def finished_steps(folder: Path) -> dict[str, Any]:
    manifest = folder / "manifest.json"
    steps: dict[str, Any] = json.loads(manifest.read_text())["steps"] if manifest.exists() else {}
    return steps


def written_at(folder: Path, steps: dict[str, Any]) -> dict[str, int]:
    """When each output file of these steps was written, in ns; not the model card, which is written with the result."""
    places = [folder / name for record in steps.values() for name in record["outputs"]]
    files = [each for place in places for each in (place.rglob("*") if place.is_dir() else [place]) if each.is_file()]
    return {str(file): file.stat().st_mtime_ns for file in files if file != folder / "retriever" / "README.md"}


def assert_same_result(folder: Path, expected: Path) -> None:
    assert tuple(finished_steps(folder)) == TOY_STEPS
    assert list((folder / ".making").iterdir()) == []
    assert (folder / "metrics.json").read_bytes() == (expected / "metrics.json").read_bytes()
    assert (folder / "retriever" / "README.md").read_text() == (expected / "retriever" / "README.md").read_text()
    assert_same_labels(folder, expected)
    ours, theirs = (
        {path.relative_to(each): path.read_bytes() for path in (each / "retriever").rglob("*.safetensors")}
        for each in (folder, expected)
    )
    assert ours == theirs


def assert_same_labels(folder: Path, expected: Path) -> None:
    ours, theirs = (read_labels(each / "labels.parquet") for each in (folder, expected))
    assert [query.id for query in ours] == [query.id for query in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert np.array_equal(one.positions, other.positions)
        assert np.array_equal(one.scores, other.scores)


@pytest.mark.parametrize("step", TOY_STEPS)
def test_killed_in_a_step_the_chain_ends_the_same_and_repeats_no_finished_step(
    step: str, start: Start, toy_config: Callable[..., Config], undisturbed: tuple[Path, float], tmp_path: Path
) -> None:
    folder = tmp_path / "w"
    for _ in range(20):
        process = start(distill, toy_config(), folder)
        if kill_when(process, lambda: any((folder / ".making").glob(f"{step}-*"))) and step not in finished_steps(
            folder
        ):
            break
        shutil.rmtree(folder)  # the step was over before the kill came: once more
    assert folder.exists()
    before = finished_steps(folder)
    assert tuple(before) == TOY_STEPS[: TOY_STEPS.index(step)]
    written = written_at(folder, before)
    finish(start, toy_config(), folder)
    after = finished_steps(folder)
    assert {name: after[name] for name in before} == before
    assert {path: at for path, at in written_at(folder, after).items() if path in written} == written
    assert_same_result(folder, undisturbed[0])


@pytest.mark.parametrize("step", TOY_STEPS)
def test_killed_while_a_step_replaces_another_configs_outputs_the_chain_ends_the_same(
    step: str,
    start: Start,
    toy_config: Callable[..., Config],
    undisturbed: tuple[Path, float],
    other: Path,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "w"
    output = folder / finished_steps(other)[step]["outputs"][0]
    for _ in range(20):
        shutil.copytree(other, folder)
        replaced = other_than_now(output)
        if kill_when(start(distill, toy_config(), folder), replaced):
            break
        shutil.rmtree(folder)
    assert folder.exists()
    finish(start, toy_config(), folder)
    assert_same_result(folder, undisturbed[0])


@pytest.mark.parametrize("seed", range(3))
def test_killed_again_and_again_at_random_moments_the_chain_ends_the_same(
    seed: int, start: Start, toy_config: Callable[..., Config], undisturbed: tuple[Path, float], tmp_path: Path
) -> None:
    folder, draw = tmp_path / "w", random.Random(seed)
    expected, seconds = undisturbed
    before: dict[str, Any] = {}
    for _ in range(6):
        process = start(distill, toy_config(), folder)
        process.join(draw.uniform(0, 0.7 * seconds))
        process.kill()
        process.join()
        after = finished_steps(folder)
        assert {name: after[name] for name in before} == before
        before = after
    finish(start, toy_config(), folder)
    assert_same_result(folder, expected)


def test_killed_while_labelling_resumes_without_scoring_a_pair_twice(
    start: Start, toy_config: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "labelling_driver.py").write_text(_DRIVER)
    monkeypatch.syspath_prepend(tmp_path)
    import labelling_driver  # type: ignore[import-not-found]

    asked = [f"what of the {topic} and the {word}" for topic, words in TOPICS.items() for word in words.split()]
    (tmp_path / "asked.txt").write_text("\n".join(asked) + "\n")
    config, folder = toy_config({"dataset.extra_queries": str(tmp_path / "asked.txt")}), tmp_path / "w"
    process = start(labelling_driver.label, config, folder, tmp_path / "first.jsonl")
    assert kill_when(process, lambda: len(list((folder / ".making").glob("labels-*/*/part-*.parquet"))) >= 3)
    assert tuple(finished_steps(folder)) == TOY_STEPS[: TOY_STEPS.index("labels")]
    parts = list((folder / ".making").glob("labels-*/*/part-*.parquet"))
    kept = {query.text for part in parts for query in read_labels(part)}
    for name, here in (("second", folder), ("whole", tmp_path / "undisturbed")):
        process = start(labelling_driver.label, config, here, tmp_path / f"{name}.jsonl")
        process.join()
        assert process.exitcode == 0
    first, second, whole = (_pairs(tmp_path / f"{name}.jsonl") for name in ("first", "second", "whole"))
    assert len(kept) >= 12
    assert [pair for pair in second if pair[0] in kept] == []
    assert {pair[0] for pair in second} | kept == {pair[0] for pair in whole}
    assert sorted([pair for pair in first if pair[0] in kept] + second) == sorted(whole)
    assert_same_labels(folder, tmp_path / "undisturbed")


def _pairs(log: Path) -> list[list[str]]:
    return [json.loads(line) for line in log.read_text().splitlines()]
