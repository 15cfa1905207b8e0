"""CSV beside the table: every query's values, and pairs of systems with their corrected tests."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from rankstill.evaluation import compare, holm
from rankstill.evaluation.chain_runs import write_pairs, write_values


def lines_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_value_is_read_back_as_it_was_whatever_the_ids_hold(tmp_path: Path) -> None:
    values = {
        system: {"nDCG@10": {'q,"1': 1 / 3, "é": first}, "Hit@1": {'q,"1': 0.0, "é": 1.0}}
        for system, first in (("BM25", 0.1), ("first, second", 0.2))
    }
    write_values(values, tmp_path / "x.csv")
    lines = lines_of(tmp_path / "x.csv")
    assert len(lines) == 4
    for line in lines:
        for measure, by_query in values[line["system"]].items():
            assert float(line[measure]) == by_query[line["query"]]


def test_pairs_have_the_figures_of_the_ordinary_test_and_p_corrected_for_all_pairs(tmp_path: Path) -> None:
    columns = {"one": [0.0] * 8, "two": [0.0] * 4 + [1.0] * 4, "three": [1.0] * 8}
    values = {name: {f"q{row}": value for row, value in enumerate(column)} for name, column in columns.items()}
    write_pairs(values, tmp_path / "x.csv", seed=3, resamples=500)
    names = [("two", "one"), ("three", "one"), ("three", "two")]
    raw = [compare(columns[old], columns[new], 3, 500).p_value for new, old in names]
    lines = lines_of(tmp_path / "x.csv")
    assert [(line["system"], line["against"]) for line in lines] == names
    assert [float(line["p"]) for line in lines] == pytest.approx(holm(raw))
    assert [float(line["difference"]) for line in lines] == [0.5, 1.0, 0.5]
    assert [lines[0][each] for each in ("better", "worse", "equal")] == ["4", "0", "4"]
