import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rankstill.config import DatasetConfig
from rankstill.datasets import bundled, load_dataset
from rankstill.errors import DataError


def test_a_source_that_is_not_there_says_what_a_source_may_be(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"nowhere: there is no such folder or file\. A source is a BEIR folder, ir_data"
    ):
        load_dataset(DatasetConfig(source=str(tmp_path / "nowhere")))


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("a,b\n")
    with pytest.raises(DataError, match=r"data\.csv: not a BEIR folder, nor a DPR-style file"):
        load_dataset(DatasetConfig(source=str(tmp_path / "data.csv")))


def test_a_test_file_beside_a_folder_is_refused_and_not_ignored(beir: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match=r"test_source test\.json goes with a DPR-style"):
        load_dataset(DatasetConfig(source=str(beir()), test_source="test.json"))


def test_the_bundled_set_has_the_published_counts() -> None:
    dataset = load_dataset(DatasetConfig(source="scifact", leaks="keep"))
    assert (dataset.name, len(dataset.corpus), len(dataset.train), len(dataset.test)) == ("scifact", 5183, 809, 300)
    assert sum(len(dataset.qrels[query_id]) for query_id in dataset.train) == 919
    assert sum(len(grades) for grades in dataset.test_qrels().values()) == 339


def test_the_bundled_rankings_fit_the_bundled_queries_and_corpus() -> None:
    dataset = load_dataset(DatasetConfig(source="scifact", leaks="keep"))
    rankings = [json.loads(line) for line in (bundled("scifact") / "rankings.jsonl").read_text().splitlines()]
    assert sorted(ranking["query_id"] for ranking in rankings) == sorted(dataset.train)
    assert all(sorted(ranking["candidates"]) == sorted(ranking["ranking"]) for ranking in rankings)
    assert all(passage_id in dataset.corpus for ranking in rankings for passage_id in ranking["candidates"])


def test_the_bundled_set_carries_its_licences_and_its_caveat() -> None:
    readme = (bundled("scifact") / "README.md").read_text()
    for needed in ("Wadden et al.", "CC BY 4.0", "ODC-By 1.0", "may have met it in pretraining", "November\n2026"):
        assert needed in readme


def test_an_unknown_bundled_name_is_refused() -> None:
    with pytest.raises(DataError, match=r"nq: no such dataset comes with the package\. There are: scifact\."):
        bundled("nq")


def test_importing_the_datasets_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'transformers', 'sentence_transformers', 'datasets', 'ir_datasets', 'pyarrow', 'scipy'}"
    code = f"import sys, rankstill.datasets; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
