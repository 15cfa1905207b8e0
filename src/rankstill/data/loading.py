"""Load a Dataset from any source that a configuration names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from rankstill.config import DatasetConfig
from rankstill.data.beir import read_beir
from rankstill.data.dataset import Dataset
from rankstill.data.dpr import read_dpr
from rankstill.data.extra import add_extra_queries, keep_unjudged
from rankstill.data.hub import read_hub
from rankstill.data.irds import read_ir_datasets
from rankstill.data.leaks import drop_leaks, mark_leaks
from rankstill.data.records import RawDataset, assemble
from rankstill.data.sampling import sample
from rankstill.errors import DataError

SAMPLE = "scifact-sample"
"""A small piece of SciFact, for a quick look. It is drawn anew, and always the same."""
_SAMPLE_OF, _SAMPLE_PASSAGES, _SAMPLE_TRAIN, _SAMPLE_TEST = "scifact", 800, 60, 60
_BUNDLED = Path(__file__).parent / "bundled"
_OF_SCIFACT = "SciFact is public: any LLM may have seen it in pretraining, also the one that ranked here"
_CAVEATS = {
    "scifact": _OF_SCIFACT,
    SAMPLE: _OF_SCIFACT,
    "nq-open": "NQ-open is public: any LLM may have seen its questions and answers in pretraining",
    "stackqa": "StackQA's posts are public: any LLM may have seen them in pretraining, also the one that ranked here",
    "hotpot": "HotpotQA is public: any LLM may have seen it in pretraining, also the one that ranked here",
}
"""What to keep in mind wherever figures on a bundled dataset are shown."""


def load_dataset(config: DatasetConfig) -> Dataset:
    """Load and check the dataset that a configuration names, and drop or mark leaking queries as configured.

    What had to be left out or changed is counted and named in the dataset's `notes`.

    Raises:
        DataError: a source is missing, damaged, or holds what cannot be used; the message says where.
        WorkspaceError: there is no room for temporary files, where the corpus's text lies meanwhile.
    """
    return drop_or_mark_leaks(load_with_leaks(config), config.leaks)


def load_with_leaks(config: DatasetConfig) -> Dataset:
    """As `load_dataset`, before anything is done about leaks."""
    if config.test_source and not _is_dpr(config.source):
        raise DataError(
            f"test_source {config.test_source} goes with a DPR-style .json or .jsonl source only, not {config.source}. "
            "Use test_split."
        )
    dataset = assemble(_read(config), config.merge_same_text)
    if is_bundled(config.source):
        dataset = dataset.with_notes(_CAVEATS[config.source])
    if config.extra_queries:
        dataset = add_extra_queries(dataset, Path(config.extra_queries).expanduser())
    dataset = keep_unjudged(dataset, config)
    # Drawn from what is left of SciFact: the sample itself then has no leak to drop.
    return _sample(drop_or_mark_leaks(dataset, config.leaks)) if config.source == SAMPLE else dataset


def drop_or_mark_leaks(dataset: Dataset, leaks: Literal["drop", "keep"]) -> Dataset:
    """The dataset with its leaking training queries dropped, or kept and named."""
    return drop_leaks(dataset) if leaks == "drop" else mark_leaks(dataset)


def is_bundled(source: str) -> bool:
    """Whether this source comes with the package. Such a name means the package's, whatever lies in the folder."""
    return source in _bundled_names()


def lasting_source(config: DatasetConfig) -> str:
    """The source by a name that means the same from any folder: files and folders by their absolute path."""
    kind, separator, _ = config.source.partition(":")
    if is_bundled(config.source) or (separator and kind in ("ir_datasets", "hf")):
        return config.source
    return str(Path(config.source).expanduser().resolve())


def bundled(name: str) -> Path:
    """The folder of a dataset that comes with the package, in BEIR layout, with its licence in README.md.

    Args:
        name: "scifact", "stackqa" or "hotpot", whose folder also holds `rankings.jsonl`, an LLM's rankings for its
            training queries; "scifact-sample", which is drawn from the first; or "nq-open", whose queries have answers.

    Raises:
        DataError: no such dataset comes with the package.
    """
    names = _bundled_names()
    if name not in names:
        raise DataError(f"{name}: no such dataset comes with the package. There are: {', '.join(names)}.")
    return _BUNDLED / (_SAMPLE_OF if name == SAMPLE else name)


def _bundled_names() -> list[str]:
    return sorted([SAMPLE, *(path.name for path in _BUNDLED.iterdir() if path.is_dir())])


def _sample(dataset: Dataset) -> Dataset:
    """A sample with the passages that the LLM ranked for its queries."""
    with (bundled(SAMPLE) / "rankings.jsonl").open(encoding="utf-8") as file:
        shown = {ranking["query_id"]: ranking["candidates"] for ranking in map(json.loads, file)}
    keep = {query_id: passages for query_id, passages in shown.items() if query_id in dataset.train}
    return sample(dataset, _SAMPLE_PASSAGES, _SAMPLE_TRAIN, _SAMPLE_TEST, seed=0, keep=keep)


def _read(config: DatasetConfig) -> RawDataset:
    kind, _, rest = config.source.partition(":")
    if kind == "ir_datasets":
        return read_ir_datasets(rest, config)
    if kind == "hf":
        return read_hub(rest, config)
    if is_bundled(config.source):
        return read_beir(bundled(config.source), config)
    path = Path(config.source).expanduser()
    if path.is_dir():
        return read_beir(path, config)
    if not path.exists():
        raise DataError(
            f"{path}: there is no such folder or file. A source is a BEIR folder, ir_datasets:<id>, hf:<repository>, a "
            f"DPR-style .json or .jsonl file, or a set that comes with the package: {', '.join(_bundled_names())}."
        )
    if not _is_dpr(config.source):
        raise DataError(f"{path}: not a BEIR folder, nor a DPR-style file, which ends in .json or .jsonl (also .gz).")
    return read_dpr(path, config)


def _is_dpr(source: str) -> bool:
    return source.removesuffix(".gz").endswith((".json", ".jsonl"))
