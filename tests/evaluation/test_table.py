"""The table of systems: right figures, nothing cut off, and the same table back from JSON."""

from __future__ import annotations

import io
import json
import random

import pytest
from rich.console import Console

from rankstill.errors import DataError, RankstillError
from rankstill.evaluation import EvaluationTable, aggregate, compare, evaluate_runs, holm, interval, per_query, render
from rankstill.evaluation.metrics import DEFAULT_MEASURES

QRELS = {f"q{i}": {f"gold{i}": 1} for i in range(40)}
NAMES = ["BM25", "dense before", "fused [rrf|sum]", "ranker over the new retriever", "dense distilled"]


def run_of(strength: float, seed: int) -> dict[str, dict[str, float]]:
    rng = random.Random(seed)
    return {
        query_id: {f"other{i}": rng.random() for i in range(30)} | {gold: rng.random() ** (1 - strength)}
        for query_id, grades in QRELS.items()
        for gold in grades
    }


@pytest.fixture(scope="module")
def runs():
    strengths = zip(NAMES, [0.5, 0.6, 0.7, 0.97, 0.9], strict=True)
    found = {name: run_of(strength, seed) for seed, (name, strength) in enumerate(strengths)}
    del found["BM25"]["q3"]
    return found


@pytest.fixture(scope="module")
def table(runs):
    return evaluate_runs(runs, QRELS, baseline="dense before", seed=3)


def test_every_figure_is_the_one_that_the_parts_give(runs, table):
    before, after = (per_query(runs[name], QRELS) for name in ("dense before", "dense distilled"))
    result = table.system("dense distilled")
    assert table.n == 40
    assert table.measures == DEFAULT_MEASURES
    assert result.values == aggregate(after)
    for measure in DEFAULT_MEASURES:
        old, new = list(before[measure].values()), list(after[measure].values())
        assert result.intervals[measure] == interval(new, seed=3)
        assert result.comparisons[measure] == compare(old, new, seed=3)


def test_the_baseline_is_compared_with_nothing_and_the_order_is_kept(table):
    assert [system.name for system in table.systems] == NAMES
    assert [system.name for system in table.systems if system.comparisons is None] == ["dense before"]


def test_p_values_are_corrected_for_the_number_of_systems(table):
    others = [system for system in table.systems if system.comparisons]
    raw = [system.comparisons["Hit@1"].p_value for system in others]
    assert list(table.adjusted_p("Hit@1").values()) == holm(raw)
    assert list(table.adjusted_p("Hit@1")) == [system.name for system in others]


def test_queries_without_passages_are_counted_and_shown(table):
    assert {system.name: system.missing for system in table.systems if system.missing} == {"BM25": 1}
    assert "Queries without passages, counted as 0: BM25 1." in table.to_markdown()


def test_a_table_comes_back_from_json_equal(table):
    assert EvaluationTable.from_json(json.loads(json.dumps(table.to_json()))) == table


@pytest.mark.parametrize("damage", [{"systems": None}, {"systems": [{"name": "x"}]}, {"measures": 3}])
def test_json_that_is_no_table_is_refused(table, damage):
    with pytest.raises(DataError, match="not an evaluation table"):
        EvaluationTable.from_json(table.to_json() | damage)


def test_equal_seeds_give_equal_tables(runs, table):
    assert evaluate_runs(runs, QRELS, baseline="dense before", seed=3) == table
    assert evaluate_runs(runs, QRELS, baseline="dense before", seed=4) != table


def test_the_terminal_table_cuts_no_figure(table):
    console = Console(file=io.StringIO(), width=130, legacy_windows=False)
    console.print(render(table, "SciFact test", width=130))
    text = console.file.getvalue()
    assert "SciFact test, n = 40 queries, against dense before" in text
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 130
    assert "fused [rrf|sum]" in text
    for system in table.systems:
        low, high = system.intervals["nDCG@10"]
        assert f"{system.values['nDCG@10']:.3f} [{low:.3f}, {high:.3f}]" in text
        for measure in DEFAULT_MEASURES:
            assert f"{system.values[measure]:.3f}" in text
        if system.comparisons:
            found = system.comparisons["nDCG@10"]
            assert f"{found.difference:+.3f} [{found.low:+.3f}, {found.high:+.3f}]" in text


@pytest.mark.parametrize(("width", "measures"), [(80, 0), (100, 3), (120, 6), (60, 1)])
def test_at_every_width_names_differences_and_p_are_whole_and_measures_give_way(runs, width, measures):
    named = dict(
        zip(["BM25", "retriever before", "multi-vector hybrid", "ranker on distilled"], runs.values(), strict=False)
    )
    table = evaluate_runs(named, QRELS, baseline="retriever before")
    console = Console(file=io.StringIO(), width=width, legacy_windows=False)
    console.print(render(table, width=width))
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    adjusted = table.adjusted_p("nDCG@10")
    for system in table.systems:
        (row,) = [line for line in lines if line.strip().startswith(f"{system.name}  ")]
        assert f"{system.values['nDCG@10']:.3f}" in row
        if system.comparisons:
            assert f"{system.comparisons['nDCG@10'].difference:+.3f}" in row
            assert row.rstrip().endswith(f"{adjusted[system.name]:.4f}")
        assert ("[" in row) == (width >= 80)
    baseline = next(line for line in lines if line.strip().startswith("retriever before  "))
    assert len(baseline.replace("retriever before", "").split("]")[-1].split()) == measures


def test_markdown_has_one_row_a_system_and_as_many_cells_as_columns(table):
    lines = [line for line in table.to_markdown("SciFact test").splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(NAMES)
    assert {line.replace("\\|", "").count("|") for line in lines} == {11}
    assert lines[0].startswith("| system | nDCG@10 [95 %] | Hit@1 | Hit@5 | Hit@10 | Hit@20 | Recall@100 | MRR@10 |")
    assert table.to_markdown("SciFact test").startswith("**SciFact test, n = 40 queries, against dense before**")


def test_the_first_measure_asked_for_leads_under_its_shown_name(runs):
    found = evaluate_runs(runs, QRELS, "BM25", ["RR@10", "nDCG@10"])
    assert found.measures == ("MRR@10", "nDCG@10")
    assert "| system | MRR@10 [95 %] | nDCG@10 | difference [95 %] | p |" in found.to_markdown()


def test_a_slice_is_measured_by_its_qrels_alone(runs):
    part = {query_id: QRELS[query_id] for query_id in ("q1", "q2")}
    found = evaluate_runs(runs, part, "BM25")
    assert found.n == 2
    assert found.system("dense distilled").values == aggregate(per_query(runs["dense distilled"], part))


def test_a_baseline_or_measures_that_are_not_there_are_named(runs):
    with pytest.raises(
        RankstillError, match=r'baseline "dense": no run of this name\. Name one of: BM25, dense before'
    ):
        evaluate_runs(runs, QRELS, "dense")
    with pytest.raises(RankstillError, match="measures: none given"):
        evaluate_runs(runs, QRELS, "BM25", [])
