"""Hugging Face datasets in BEIR's layout, as BeIR/* and mteb/* have it, from the hub or a local folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rankstill.config import DatasetConfig
from rankstill.data.corpus import Corpus
from rankstill.data.dataset import Qrels, Query
from rankstill.data.fields import RecordSource
from rankstill.data.records import RawDataset, gather_passages, gather_qrels, gather_queries
from rankstill.errors import DataError


def read_hub(repository: str, config: DatasetConfig) -> RawDataset:
    """Reads a Hugging Face dataset with the configurations `corpus` and `queries`.

    Judgements are looked for in the repository `<repository>-qrels`, then in the repository's own configurations
    `default` and `qrels`; their splits are the splits.

    Args:
        repository: its name on the hub, such as "BeIR/scifact", or a local folder that `datasets.load_dataset` reads.

    Raises:
        DataError: it cannot be found or fetched, or is not in this layout.
    """
    name = f"hf:{repository}"
    local = Path(repository).expanduser()
    path = str(local) if local.exists() else repository
    merge = config.merge_duplicates
    corpus, corpus_notes = gather_passages(
        enumerate(_table(path, "corpus", name), start=1), RecordSource(f"{name} corpus", "row"), merge
    )
    queries, query_notes = gather_queries(
        enumerate(_table(path, "queries", name), start=1), RecordSource(f"{name} queries", "row"), merge
    )
    notes = [*corpus_notes, *query_notes]
    qrels_name, splits = _find_qrels(path, name)
    train = _read_split(splits, config.train_split, qrels_name, queries, corpus, notes)
    test = _read_split(splits, config.test_split, qrels_name, queries, corpus, notes)
    there = f"there are: {', '.join(splits)}" if splits else f"looked for {name}-qrels"
    if train is None and config.train_split:
        notes.append(f"{name}: no training split {config.train_split!r} ({there}); all but the test queries may teach.")
    if test is None:
        wanted = f"no test split {config.test_split!r}" if config.test_split else "no test split is named"
        notes.append(f"{name}: {wanted} ({there}); there are no judgements to measure by.")
    return RawDataset(local.name, corpus, queries, train, test, tuple(notes))


def _load(path: str, configuration: str | None, name: str) -> Mapping[str, Any] | None:
    """The splits of a configuration; None when the repository or the configuration does not exist."""
    from datasets import DownloadConfig, load_dataset  # slow to import

    try:
        splits: Mapping[str, Any] = load_dataset(path, configuration, download_config=DownloadConfig(max_retries=1))
    except FileNotFoundError:
        return None
    except ValueError as error:
        if "BuilderConfig" in str(error):
            return None
        raise DataError(f"{name}: datasets cannot read it ({_first_line(error)}).") from error
    except Exception as error:  # the library raises its own, pyarrow's, the hub's and the operating system's errors
        raise DataError(
            f"{name}: cannot be fetched or read ({_first_line(error)}). Check the name and the network."
        ) from error
    return splits


def _table(path: str, configuration: str, name: str) -> Any:
    splits = _load(path, configuration, name)
    if splits is None:
        raise DataError(
            f"{name}: no dataset with a configuration {configuration!r} is there. Check the name; BEIR's layout has "
            "the configurations corpus and queries."
        )
    if configuration in splits:
        return splits[configuration]
    if len(splits) == 1:
        return next(iter(splits.values()))
    raise DataError(
        f"{name}: configuration {configuration!r} has the splits {', '.join(splits)}. Expected is one split, or a "
        "split with the configuration's name."
    )


def _find_qrels(path: str, name: str) -> tuple[str, Mapping[str, Any]]:
    for qrels_path, configuration, qrels_name in (
        (f"{path}-qrels", None, f"{name}-qrels"),
        (path, "default", f"{name} default"),
        (path, "qrels", f"{name} qrels"),
    ):
        splits = _load(qrels_path, configuration, qrels_name)
        if splits is not None:
            return qrels_name, splits
    return f"{name}-qrels", {}


def _read_split(
    splits: Mapping[str, Any],
    split: str | None,
    name: str,
    queries: Mapping[str, Query],
    corpus: Corpus,
    notes: list[str],
) -> Qrels | None:
    if split is None or split not in splits:
        return None
    rows = enumerate(splits[split], start=1)
    qrels, found = gather_qrels(rows, RecordSource(f"{name} {split}", "row"), queries, corpus)
    notes += found
    return qrels


def _first_line(error: Exception) -> str:
    # datasets wraps what went wrong in "An error occurred while generating the dataset".
    said = str(error.__cause__ or error).strip()
    return said.splitlines()[0] if said else type(error).__name__
