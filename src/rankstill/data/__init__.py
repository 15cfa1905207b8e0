"""Datasets: a corpus, queries and judgements from many sources, checked, split honestly, written back."""

from rankstill.data.corpus import Corpus
from rankstill.data.dataset import Dataset, Qrels, Query
from rankstill.data.leaks import LeakReport, drop_leaks, find_leaks, mark_leaks, near_duplicates, shared_gold
from rankstill.data.loading import (
    SAMPLE,
    bundled,
    drop_or_mark_leaks,
    is_bundled,
    lasting_source,
    load_dataset,
    load_with_leaks,
)
from rankstill.data.sampling import hold_out, sample
from rankstill.data.writing import write_beir

__all__ = [
    "SAMPLE",
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
