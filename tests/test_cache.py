"""Passages' vectors that workspaces share."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import rankstill
from rankstill.cache import Cache
from rankstill.cli import main
from rankstill.config import Config

MakeConfig = Callable[..., Config]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the cache lies."""
    monkeypatch.setenv("RANKSTILL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def outputs(folder: Path, size: int = 100) -> Path:
    (folder / "vectors").mkdir(parents=True)
    (folder / "vectors" / "passages.npy").write_bytes(b"x" * size)
    return folder


def test_a_second_workspace_takes_the_vectors_and_ends_the_same(
    place: Path, toy_config: MakeConfig, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    first = rankstill.distill(toy_config(), tmp_path / "first")
    assert "taken from" not in capfd.readouterr().err
    second = rankstill.distill(toy_config(), tmp_path / "second")
    assert capfd.readouterr().err.count(f"taken from {place}") == 2  # the vectors and the token vectors
    assert second.table == first.table
    same = [(tmp_path / each / "vectors" / "passages.npy").stat().st_ino for each in ("first", "second")]
    assert same[0] == same[1]  # one file, not two


def test_another_encoder_or_corpus_takes_nothing(
    place: Path, toy_config: MakeConfig, toy_dataset_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rankstill.distill(toy_config(), tmp_path / "first", until="vectors")
    rankstill.distill(toy_config({"retriever.passage_prompt": "read: "}), tmp_path / "second", until="vectors")
    other = tmp_path / "other"
    other.mkdir()
    for each in toy_dataset_folder.rglob("*"):
        if each.is_file():
            (other / each.relative_to(toy_dataset_folder)).parent.mkdir(exist_ok=True)
            (other / each.relative_to(toy_dataset_folder)).write_bytes(each.read_bytes())
    lines = (other / "corpus.jsonl").read_text().splitlines()
    changed = {**json.loads(lines[0]), "text": "another text"}
    (other / "corpus.jsonl").write_text("\n".join([json.dumps(changed), *lines[1:]]) + "\n")
    rankstill.distill(toy_config(source=other), tmp_path / "third", until="vectors")
    assert "taken from" not in capfd.readouterr().err
    first, third = (np.load(tmp_path / each / "vectors" / "passages.npy") for each in ("first", "third"))
    assert not np.array_equal(first[0], third[0])


def test_without_room_nothing_is_kept(place: Path, toy_config: MakeConfig, tmp_path: Path) -> None:
    rankstill.distill(toy_config({"cache_gb": 0}), tmp_path / "none", until="vectors")
    rankstill.distill(toy_config({"cache_gb": 1e-6}), tmp_path / "too-little", until="vectors")
    assert Cache(place, 0).entries() == []


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", 250)
    for age, name in ((30, "a"), (20, "b")):
        cache.keep(name, outputs(tmp_path / name), ["vectors"])
        os.utime(cache.folder / name, (10_000 - age, 10_000 - age))
    assert cache.take("a", tmp_path)
    cache.keep("c", outputs(tmp_path / "c"), ["vectors"])
    assert {entry.name for entry in cache.entries()} == {"a", "c"}
    assert (tmp_path / "b" / "vectors" / "passages.npy").is_file()  # the workspace's own stays


def test_what_a_kill_left_is_replaced_and_never_written_through_a_link(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", 1000)
    cache.keep("a", outputs(tmp_path / "first"), ["vectors"])
    making = outputs(tmp_path / "second", size=3)
    assert not cache.take("unknown", making)
    assert (making / "vectors" / "passages.npy").stat().st_size == 3
    assert cache.take("a", making)
    assert (making / "vectors" / "passages.npy").stat().st_size == 100
    assert [each.name for each in making.iterdir()] == ["vectors"]


def test_a_disk_that_takes_nothing_is_a_note_and_no_error(
    toy_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("RANKSTILL_CACHE", str(tmp_path / "file"))
    rankstill.distill(toy_config(), tmp_path / "w", until="vectors")
    assert "vectors are not kept for other workspaces" in capfd.readouterr().err


def test_the_command_shows_what_is_kept_and_deletes_it(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Cache(place, 10**9).keep("vectors-1", outputs(tmp_path / "w", 2_000_000), ["vectors"])

    def said(*words: str) -> str:
        monkeypatch.setattr("sys.argv", ["rankstill", "cache", *words])
        with pytest.raises(SystemExit) as end:
            main()
        assert not end.value.code
        return capsys.readouterr().out

    assert re.search(r"2\.0 MB  last used \d{4}-\d\d-\d\d \d\d:\d\d  vectors-1\n +2\.0 MB in ", said())
    assert said("--clear") == f"2 MB deleted from {place}\n"
    assert said() == f"       0.0 MB in {place}\n"
