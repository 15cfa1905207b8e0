"""What the machine lacks ends in one line that names it: a device, or room for temporary files; and so do measures."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from rankstill.config import Config, DatasetConfig, write_config
from rankstill.data import load_dataset
from rankstill.errors import WorkspaceError
from rankstill.retrieval.bm25 import BM25Index

Command = Callable[..., Any]


@pytest.fixture
def config_file(toy_config: Callable[..., Config], tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(write_config(toy_config()))
    return path


@pytest.mark.parametrize(
    "device",
    [
        "banana",
        "''",
        "meta",
        "cuda:99",
        pytest.param("cuda", marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")),
    ],
)
@pytest.mark.parametrize("named", ["run", "check --near"])
def test_a_device_that_is_not_there_is_named_with_those_that_are(
    command: Command, config_file: Path, tmp_path: Path, named: str, device: str
) -> None:
    name, *options = named.split()
    options += ["-w", str(tmp_path / "w")] if name == "run" else []
    message = command(name, config_file, *options, "--set", f"device={device}").one_error()
    assert message.startswith('device "{}" cannot be used here: '.format(device.strip("'")))
    assert "This machine has cpu" in message


@pytest.mark.parametrize(
    ("measures", "said"),
    [
        ("[]", "evaluation.measures: name one measure at least, such as [nDCG@10]"),
        ("[nDCG@10, banana]", 'measure "banana": unknown'),
        ("['P(rel=']", 'measure "P(rel=": not the name of a measure'),
    ],
)
def test_measures_that_cannot_be_computed_are_named_before_anything_is_made(
    command: Command, config_file: Path, tmp_path: Path, measures: str, said: str
) -> None:
    ran = command("run", config_file, "-w", tmp_path / "w", "--set", f"evaluation.measures={measures}")
    assert said in ran.one_error()
    assert not (tmp_path / "w" / "manifest.json").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real disk of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.parametrize("passages", [200, 20_000])
def test_no_room_for_temporary_files_while_a_corpus_is_loaded_is_one_line(
    small_disk: Path, toy_dataset_folder: Path, tmp_path: Path, passages: int
) -> None:
    (tmp_path / "data").mkdir()
    text = "A sentence that takes some room on the disk. " * (20 if passages == 200 else 1) * 10
    with (tmp_path / "data" / "corpus.jsonl").open("w") as corpus:
        corpus.writelines(f'{{"_id": "p{number}", "text": "{text} {number}"}}\n' for number in range(passages))
    ended = subprocess.run(
        [sys.executable, "-c", "from rankstill.cli import main; main()", "check", "--source", tmp_path / "data"],
        env={**os.environ, "TMPDIR": str(small_disk)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2, ended.stderr
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"error: {small_disk}: No space left on device loading the corpus. Make room there")
    assert "set TMPDIR" in line
    assert not list(small_disk.iterdir())


def test_no_folder_for_temporary_files_at_all_is_one_line(
    toy_dataset_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/dev/full/nowhere"])
    with pytest.raises(WorkspaceError, match="no temporary file can be written loading the corpus"):
        load_dataset(DatasetConfig(source=str(toy_dataset_folder)))


def test_no_room_for_an_index_of_words_names_the_folder_of_temporary_files(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    texts = [" ".join(f"word{number}x{each}" for each in range(20)) for number in range(2_000)]
    with pytest.raises(WorkspaceError, match=f"{small_disk}: No space left on device indexing words"):
        BM25Index(texts, "english", 1.2, 0.75)
