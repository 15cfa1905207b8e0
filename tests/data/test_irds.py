"""A tiny dataset is registered with the real library, from local files."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from rankstill.config import DatasetConfig
from rankstill.data import load_dataset
from rankstill.errors import DataError

ir_datasets = pytest.importorskip("ir_datasets")


@pytest.fixture
def registered(tmp_path: Path) -> Iterator[str]:
    """Registers rankstill-tiny with /train and /test, and takes them out of the registry again."""
    (tmp_path / "docs.tsv").write_text("p1\tfirst passage\np2\tsecond passage\n")
    for split, query, qrel in (
        ("train", "q1\twhat is first\n", "q1 0 p1 1\n"),
        ("test", "q2\twhat is second\n", "q2 0 p2 2\nq2 0 p9 1\n"),
    ):
        (tmp_path / f"{split}.tsv").write_text(query)
        (tmp_path / f"{split}.qrels").write_text(qrel)
    names = ["rankstill-tiny"]
    ir_datasets.registry.register(names[0], ir_datasets.create_dataset(docs_tsv=str(tmp_path / "docs.tsv")))
    for split in ("train", "test"):
        names.append(f"rankstill-tiny/{split}")
        part = ir_datasets.create_dataset(
            docs_tsv=str(tmp_path / "docs.tsv"),
            queries_tsv=str(tmp_path / f"{split}.tsv"),
            qrels_trec=str(tmp_path / f"{split}.qrels"),
        )
        ir_datasets.registry.register(names[-1], part)
    yield names[0]
    for name in names:
        del ir_datasets.registry._registered[name]


def test_documents_queries_and_judgements_of_both_splits_load(registered: str) -> None:
    dataset = load_dataset(DatasetConfig(source=f"ir_datasets:{registered}"))
    assert (dataset.name, dataset.train, dataset.test) == (registered, ("q1",), ("q2",))
    assert dataset.corpus.texts() == ["first passage", "second passage"]
    assert dataset.qrels == {"q1": {"p1": 1}, "q2": {"p2": 2}}
    assert dataset.notes == (
        f"ir_datasets:{registered}/test: 1 judgements of unknown passages were left out: p9 (judgement 2).",
    )


def test_a_split_may_be_an_id_of_its_own(registered: str) -> None:
    settings = DatasetConfig(source=f"ir_datasets:{registered}", train_split=None, test_split=f"{registered}/train")
    dataset = load_dataset(settings)
    assert (dataset.train, dataset.test) == ((), ("q1",))


def test_absent_splits_are_said(registered: str) -> None:
    dataset = load_dataset(DatasetConfig(source=f"ir_datasets:{registered}/train", train_split="dev"))
    assert (dataset.train, dataset.test) == (("q1",), ())
    assert [f"{registered}/train/dev" in dataset.notes[0], f"{registered}/train/test" in dataset.notes[1]] == [
        True,
        True,
    ]


def test_an_unknown_id_is_named() -> None:
    with pytest.raises(DataError, match=r"ir_datasets:rankstill-nothing: no such id"):
        load_dataset(DatasetConfig(source="ir_datasets:rankstill-nothing"))


def test_files_that_cannot_be_fetched_are_one_clear_line(registered: str, tmp_path: Path) -> None:
    (tmp_path / "docs.tsv").unlink()
    with pytest.raises(DataError, match=rf"ir_datasets:{registered}: cannot be fetched or read \(.*docs\.tsv"):
        load_dataset(DatasetConfig(source=f"ir_datasets:{registered}"))


def test_an_id_without_documents_is_refused(tmp_path: Path) -> None:
    (tmp_path / "queries.tsv").write_text("q1\twords\n")
    part = ir_datasets.create_dataset(queries_tsv=str(tmp_path / "queries.tsv"))
    ir_datasets.registry.register("rankstill-no-docs", part)
    try:
        with pytest.raises(DataError, match="rankstill-no-docs: it has no documents"):
            load_dataset(DatasetConfig(source="ir_datasets:rankstill-no-docs"))
    finally:
        del ir_datasets.registry._registered["rankstill-no-docs"]
