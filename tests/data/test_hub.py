"""Local folders stand for repositories; `datasets.load_dataset` reads both in the same way."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rankstill.config import DatasetConfig
from rankstill.data import load_dataset
from rankstill.errors import DataError

PASSAGES: tuple[dict[str, object], ...] = (
    {"_id": "p1", "title": "One", "text": "first"},
    {"_id": "p2", "title": "", "text": "second"},
    {"_id": "p3", "title": "", "text": "third"},
)
QUERIES: tuple[dict[str, object], ...] = (
    {"_id": "q1", "text": "what is first"},
    {"_id": "q2", "text": "what is second"},
)
BEIR_CARD = """---
configs:
- config_name: corpus
  data_files: [{split: corpus, path: corpus.parquet}]
- config_name: queries
  data_files: [{split: queries, path: queries.parquet}]
---
"""


def write_table(path: Path, rows: Sequence[dict[str, object]]) -> None:
    pq.write_table(pa.Table.from_pylist(list(rows)), path)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def write_repository(tmp_path: Path, card: str = BEIR_CARD) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "README.md").write_text(card)
    write_table(folder / "corpus.parquet", PASSAGES)
    write_table(folder / "queries.parquet", QUERIES)
    return folder


def write_qrels(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "train.tsv").write_text("query-id\tcorpus-id\tscore\nq1\tp1\t1\n")
    (folder / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq2\tp2\t1\n")


def config(folder: Path, **more: object) -> DatasetConfig:
    return DatasetConfig.model_validate({"source": f"hf:{folder}", **more})


def test_a_repository_in_beir_layout_loads_with_its_qrels_repository(tmp_path: Path) -> None:
    folder = write_repository(tmp_path)
    write_qrels(tmp_path / "mine-qrels")
    dataset = load_dataset(config(folder))
    assert (dataset.name, dataset.train, dataset.test, dataset.notes) == ("mine", ("q1",), ("q2",), ())
    assert dataset.corpus.texts() == ["One first", "second", "third"]
    assert dataset.qrels == {"q1": {"p1": 1}, "q2": {"p2": 1}}


def test_judgements_are_also_found_in_the_repository_itself(tmp_path: Path) -> None:
    splits = "[{split: train, path: train.parquet}, {split: test, path: test.parquet}]"
    own_qrels = f"- config_name: default\n  data_files: {splits}\n---\n"
    folder = write_repository(tmp_path, BEIR_CARD.removesuffix("---\n") + own_qrels)
    write_table(folder / "train.parquet", [{"query-id": "q1", "corpus-id": "p1", "score": 1.0}])
    write_table(folder / "test.parquet", [{"query-id": "q2", "corpus-id": "p2", "score": 1.0}])
    assert load_dataset(config(folder)).qrels == {"q1": {"p1": 1}, "q2": {"p2": 1}}


def test_ids_that_are_numbers_in_the_tables_match(tmp_path: Path) -> None:
    folder = write_repository(tmp_path)
    write_table(folder / "queries.parquet", [{"_id": "7", "text": "seven"}])
    write_table(folder / "corpus.parquet", [{"_id": 3, "title": None, "text": "three"}])
    (tmp_path / "mine-qrels").mkdir()
    (tmp_path / "mine-qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n7\t3\t1\n")
    assert load_dataset(config(folder)).qrels == {"7": {"3": 1}}


def test_columns_of_other_names_are_taken_and_said(tmp_path: Path) -> None:
    folder = write_repository(tmp_path)
    write_table(folder / "corpus.parquet", [{"docid": "p1", "title": "", "text": "first"}])
    write_table(folder / "queries.parquet", [{"query_id": "q1", "query": "what is first"}])
    (tmp_path / "mine-qrels").mkdir()
    (tmp_path / "mine-qrels" / "test.tsv").write_text("qid\tdoc_id\trelevance\nq1\tp1\t1\n")
    dataset = load_dataset(config(folder))
    assert dataset.qrels == {"q1": {"p1": 1}}
    assert dataset.notes[0] == f'hf:{folder} corpus: "docid" was read as "_id".'
    assert sum(" was read as " in note for note in dataset.notes) == 3


def test_without_judgements_all_queries_teach_and_notes_say_so(tmp_path: Path) -> None:
    folder = write_repository(tmp_path)
    dataset = load_dataset(config(folder))
    assert (dataset.train, dataset.test) == (("q1", "q2"), ())
    assert dataset.notes == (
        f"hf:{folder}: no training split 'train' (looked for hf:{folder}-qrels); all but the test queries may teach.",
        f"hf:{folder}: no test split 'test' (looked for hf:{folder}-qrels); there are no judgements to measure by.",
    )


def test_bad_rows_are_named_by_table_and_row(tmp_path: Path) -> None:
    folder = write_repository(tmp_path)
    write_table(folder / "queries.parquet", [QUERIES[0], QUERIES[0]])
    with pytest.raises(DataError, match=r"mine queries, row 2: \"_id\" q1 appears twice \(first on row 1\)"):
        load_dataset(config(folder))


def test_another_layout_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    write_table(folder / "data.parquet", PASSAGES)
    with pytest.raises(DataError, match="plain: no dataset with a configuration 'corpus' is there"):
        load_dataset(config(folder))


def test_several_splits_without_one_of_the_right_name_are_refused(tmp_path: Path) -> None:
    card = BEIR_CARD.replace(
        "{split: queries, path: queries.parquet}",
        "{split: a, path: queries.parquet}, {split: b, path: queries.parquet}",
    )
    with pytest.raises(DataError, match="configuration 'queries' has the splits a, b"):
        load_dataset(config(write_repository(tmp_path, card)))


def test_a_damaged_table_is_one_clear_line(tmp_path: Path) -> None:
    folder = write_repository(tmp_path)
    (folder / "corpus.parquet").write_bytes(b"PAR1 cut short")
    with pytest.raises(
        DataError, match=r"mine: (cannot be fetched or read|datasets cannot read it) \(.*[Pp]arquet"
    ) as caught:
        load_dataset(config(folder))
    assert "\n" not in str(caught.value)


def test_a_hub_that_cannot_be_reached_is_one_clear_line() -> None:
    with pytest.raises(DataError, match=r"hf:nobody/nothing: cannot be fetched or read \(Couldn't reach") as caught:
        load_dataset(DatasetConfig(source="hf:nobody/nothing"))
    assert "\n" not in str(caught.value)
