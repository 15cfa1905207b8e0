"""A chain over a corpus that holds texts under several ids."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rankstill.config import Config
from rankstill.evaluation import read_run
from rankstill.pipeline import distill


@pytest.mark.parametrize("merge", [False, True])
def test_a_chain_finds_labels_and_measures_a_text_once(
    merge: bool, toy_config: Callable[..., Config], toy_dataset_folder: Path, tmp_path: Path
) -> None:
    source = shutil.copytree(toy_dataset_folder, tmp_path / "toy")
    lines = (source / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
    passages = [json.loads(line) for line in lines]
    copies = [{**each, "_id": f"zz-{each['_id']}", "text": each["text"].upper()} for each in passages[:20]]
    more = "".join(json.dumps(each) + "\n" for each in copies)
    (source / "corpus.jsonl").write_text("\n".join(lines) + "\n" + more, encoding="utf-8")
    config = toy_config({"dataset.merge_same_text": merge}, source=source)
    outcome = distill(config, tmp_path / "workspace")
    assert outcome.table is not None
    first = {each["_id"] for each in passages}
    runs = [path for path in (tmp_path / "workspace" / "runs").glob("*.trec") if path.name != "qrels.trec"]
    assert len(runs) == 10
    for path in runs:
        assert all(set(scores) <= first for scores in read_run(path).values())
