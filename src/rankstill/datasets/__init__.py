"""Datasets: a corpus, queries and judgements from many sources, checked, split honestly, written back."""

from rankstill.datasets.corpus import Corpus
from rankstill.datasets.dataset import Dataset, Qrels, Query
from rankstill.datasets.leaks import LeakReport, drop_leaks, find_leaks, mark_leaks, near_duplicates, shared_gold
from rankstill.datasets.loading import (
    bundled,
    drop_or_mark_leaks,
    is_bundled,
    lasting_source,
    load_dataset,
    load_with_leaks,
)
from rankstill.datasets.sampling import hold_out, sample
from rankstill.datasets.writing import write_beir

__all__ = [
    "Corpus",
    "Dataset",
    "LeakReport",
    "Qrels",
    "Query",
    "bundled",
    "drop_leaks",
    "drop_or_mark_leaks",
    "find_leaks",
    "hold_out",
    "is_bundled",
    "lasting_source",
    "load_dataset",
    "load_with_leaks",
    "mark_leaks",
    "near_duplicates",
    "sample",
    "shared_gold",
    "write_beir",
]
