"""A study's figures: means over seeds, tests over queries, and words that say no more than they do."""

from __future__ import annotations

import csv
import io
import xml.etree.ElementTree as ET

import pytest

from rankstill.config import EvaluationConfig
from rankstill.data import Corpus, Dataset, Query
from rankstill.evaluation import Run
from rankstill.evaluation.systems import BM25
from rankstill.extras.studies import STUDIES, Variant
from rankstill.extras.studies.figure import draw_figure
from rankstill.extras.studies.table import StudyTable, VariantResult, study_table

QUERIES = [f"q{number}" for number in range(40)]
DATASET = Dataset(
    "toy",
    Corpus(["gold", "other"], ["", ""], ["", ""]),
    {query_id: Query(query_id, query_id) for query_id in QUERIES},
    train=(),
    test=tuple(QUERIES),
    qrels={query_id: {"gold": 1} for query_id in QUERIES},
)
GOOD, SAME, BAD = (
    Variant("good", "a good one"),
    Variant("same", "the same", against="good"),
    Variant("bad", "<b>", {}, "good"),
)
SETTINGS = EvaluationConfig(measures=("MRR@10", "Hit@1"), resamples=500)


def run(right: int) -> Run:
    """A run that has the gold passage first for so many queries, second for the others."""
    return {query_id: {"gold": 2.0 if number < right else 0.5, "other": 1.0} for number, query_id in enumerate(QUERIES)}


@pytest.fixture
def table() -> StudyTable:
    measured = [
        VariantResult(GOOD, 0, run(40), run(20)),
        VariantResult(GOOD, 1, run(20), run(40)),
        VariantResult(SAME, 0, run(40), None),
        VariantResult(BAD, 0, run(0), None),
        VariantResult(BAD, 1, run(0), None),
    ]
    return study_table(STUDIES["lists"], measured, run(10), DATASET, SETTINGS)


def test_figures_are_means_over_seeds_and_are_compared_over_the_seeds_that_both_have(table: StudyTable) -> None:
    good, same, bad = table.rows
    assert good.by_seed == {0: 1.0, 1: 0.75}
    assert good.values == {"MRR@10": 0.875, "Hit@1": 0.75}
    assert good.ranker == 0.875
    assert table.before.values == {"MRR@10": 0.625, "Hit@1": 0.25}
    assert table.before.low < 0.625 < table.before.high
    assert (good.against, good.comparison.before, good.comparison.after) == ("before", 0.625, 0.875)
    assert (same.comparison.before, same.comparison.difference) == (1.0, 0.0)  # seed 0 alone
    assert [row.compared_seeds for row in table.rows] == [2, 1, 2]
    assert (bad.comparison.before, bad.comparison.after) == (0.875, 0.5)
    assert bad.p_value >= bad.comparison.p_value
    assert good.low < 0.875 < good.high


def test_the_reading_names_what_is_better_worse_and_not_significantly_different(table: StudyTable) -> None:
    assert table.reading()[0].startswith("Against the retriever before (MRR@10 0.625), better: good (+0.250, p 0.0")
    assert "worse: bad (-0.375, p 0.0" in table.reading()[1]
    assert table.reading()[1].startswith("Against good (MRR@10 0.875)")  # as in its row, not over some seeds
    assert "no significant difference: same (+0.000 over 1 common seed, p 1.000)" in table.reading()[2]
    assert f"- {table.reading()[2]}\n" in table.to_markdown()
    assert "[+0.000, +0.000] over 1 common seed |" in table.to_markdown()
    assert "over 2" not in table.to_markdown()


def test_csv_markdown_and_figure_hold_every_variant(table: StudyTable) -> None:
    rows = list(csv.DictReader(io.StringIO(table.to_csv())))
    assert [row["variant"] for row in rows] == ["before", "good", "same", "bad"]
    assert [float(row["MRR@10"]) for row in rows] == [0.625, 0.875, 1.0, 0.5]
    assert [row["MRR@10_by_seed"] for row in rows[:2]] == ["", "0:1.000000 1:0.750000"]
    assert "| `before`: the retriever before | 0.625 [" in table.to_markdown()
    assert "n = 40 queries of toy, 1 to 2 seeds" in table.to_markdown()


def test_what_is_not_trained_has_one_figure_and_is_compared_over_all_seeds_of_what_is() -> None:
    bm25 = Variant("bm25", "BM25", {}, against="good", system=BM25)
    measured = [VariantResult(variant, seed, run(20 + seed), None) for seed in (0, 4) for variant in (GOOD,)]
    measured += [VariantResult(bm25, seed, run(12), None) for seed in (0, 4)]
    found = study_table(STUDIES["baselines"], measured, run(10), DATASET, SETTINGS)
    alone = study_table(STUDIES["baselines"], measured[2:], run(10), DATASET, SETTINGS)
    assert alone.caption().startswith("n = 40 queries of toy. Brackets")
    good, row = found.rows
    assert (row.compared_seeds, row.comparison.before, row.comparison.after) == (2, good.values["MRR@10"], 0.65)
    (line,) = (line for line in found.to_markdown().splitlines() if line.startswith("| `bm25`"))
    assert line.startswith("| `bm25`: BM25 | 0.650 [")
    assert line.split("|")[3].strip() == ""
    (cells,) = (row for row in csv.DictReader(io.StringIO(found.to_csv())) if row["variant"] == "bm25")
    assert (cells["seeds"], cells["MRR@10_by_seed"]) == ("", "")
    figure = ET.fromstring(draw_figure(found))
    assert [circle.get("r") for circle in figure.findall("{*}circle")] == ["5.5", "2.5", "2.5", "5.5"]


def test_a_curve_has_a_dot_a_size_and_a_small_one_a_seed() -> None:
    def of(size: int) -> Variant:
        return Variant(f"chain-{size}", f"{size} lists, through the chain", size=size if size < 30 else None)

    measured = [VariantResult(of(size), seed, run(size + seed), None) for size in (10, 30) for seed in (0, 1)]
    figure = ET.fromstring(draw_figure(study_table(STUDIES["size"], measured, run(10), DATASET, SETTINGS)))
    radii = [circle.get("r") for circle in figure.findall("{*}circle")]
    assert (radii.count("5"), radii.count("2.5")) == (2, 4)
    names = [tick.text for tick in figure.findall("{*}text") if tick.get("text-anchor") == "end"]
    assert len(set(names)) == len(names) > 3
