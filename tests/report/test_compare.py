"""Workspaces beside each other."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rankstill.config import DatasetConfig
from rankstill.data import Dataset, load_dataset
from rankstill.errors import RankstillError
from rankstill.report import compare_workspaces

MakeWorkspace = Callable[..., Path]


def test_workspaces_on_the_same_test_queries_are_compared_query_by_query(
    workspace_of: MakeWorkspace, toy_dataset: Dataset, toy_dataset_folder: Path, tmp_path: Path
) -> None:
    one = workspace_of(toy_dataset, toy_dataset_folder, "one", gold_ranks=(3, 2))
    two = workspace_of(
        toy_dataset, toy_dataset_folder, "two", gold_ranks=(3, 1), changes={"seed": 5, "candidates.n": 33}
    )
    page = compare_workspaces([one, two], tmp_path / "out" / "compare.html").read_text(encoding="utf-8")
    row = re.search(r'<tr class="strong"><th scope="row">distilled retriever</th>(.*?)</tr>', page, re.DOTALL)
    assert row
    numbers = re.findall(r'class="number">([+\u2212]?[\d.]+)', row[1])
    # Half of the queries have gold at the second and the first rank: 0.5 x (1 - 1/log2(3)) apart, beside a quarter
    # that swaps the other way round.
    first, second, difference, p_value = (float(each.replace("\u2212", "-")) for each in numbers)
    assert second - first == pytest.approx(difference, abs=2e-3)
    assert difference > 0
    assert 0 < p_value <= 1
    for option in ("seed", "candidates.n"):
        assert f'<th scope="row">{option}</th>' in page
    assert '<th scope="row">candidates.k</th>' not in page
    assert (tmp_path / "out" / "figures" / "compare-differences.svg").is_file()


def test_workspaces_without_shared_test_queries_are_not_compared(
    workspace_of: MakeWorkspace, toy_dataset: Dataset, toy_dataset_folder: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(toy_dataset_folder, tmp_path / "other")
    queries = other / "queries.jsonl"
    queries.write_text(queries.read_text().replace("how does", "in what way does"))
    dataset = load_dataset(DatasetConfig(source=str(other)))
    folders = [workspace_of(toy_dataset, toy_dataset_folder, "one"), workspace_of(dataset, other, "two")]
    page = compare_workspaces(folders, tmp_path / "compare.html").read_text(encoding="utf-8")
    assert "two and one share no test query: their figures are not to be compared." in page
    assert not (tmp_path / "figures" / "compare-differences.svg").exists()


@pytest.mark.parametrize(("count", "said"), [(1, "Name two or more"), (2, "named twice")])
def test_one_workspace_alone_or_twice_is_refused(toy_workspace: Path, tmp_path: Path, count: int, said: str) -> None:
    with pytest.raises(RankstillError, match=said):
        compare_workspaces([toy_workspace] * count, tmp_path / "compare.html")
