"""Our figures are trec_eval's figures."""

from __future__ import annotations

import ast
import random
import subprocess
import sys

import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st

from rankstill.errors import DataError, RankstillError
from rankstill.evaluation import aggregate, per_query, read_run, write_run
from rankstill.evaluation.metrics import DEFAULT_MEASURES, display_name

TREC = {
    "nDCG@10": "ndcg_cut_10",
    "Hit@1": "success_1",
    "Hit@5": "success_5",
    "Hit@10": "success_10",
    "Hit@20": "success_20",
    "Recall@100": "recall_100",
    "MRR@10": "recip_rank",
}

PASSAGES = st.text(alphabet="aB19é漢", min_size=1, max_size=2)
# Few distinct scores, so that ties are the rule; some pairs differ only beyond single precision.
SCORES = st.sampled_from([0.0, -0.0, 0.5, 0.5 + 1e-9, 1.0, 1.0 + 1e-7, 16777216.0, 16777217.0, -1e300, -1e299, 1e300])
QUERIES = st.sampled_from(["q1", "q2", "q3", "q4"])
RUNS = st.dictionaries(QUERIES, st.dictionaries(PASSAGES, SCORES, max_size=40))
QRELS = st.dictionaries(
    QUERIES, st.dictionaries(PASSAGES, st.integers(-1, 3), min_size=1, max_size=6), min_size=1, max_size=4
)


def assert_equals_trec_eval(run, qrels):
    """Every default measure of every query equals pytrec_eval's own, to 1e-6."""
    evaluator = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10", "success.1,5,10,20", "recall.100", "recip_rank"})
    theirs = evaluator.evaluate({query_id: scores for query_id, scores in run.items() if scores})
    ours = per_query(run, qrels)
    assert list(ours) == list(DEFAULT_MEASURES)
    for measure, trec_name in TREC.items():
        assert list(ours[measure]) == list(qrels)
        for query_id in qrels:
            expected = theirs.get(query_id, {}).get(trec_name, 0.0)
            if measure == "MRR@10" and expected < 0.0999:  # trec_eval's reciprocal rank has no cutoff
                expected = 0.0
            assert ours[measure][query_id] == pytest.approx(expected, abs=1e-6), (measure, query_id)


@settings(deadline=None)
@given(run=RUNS, qrels=QRELS)
def test_every_measure_equals_trec_eval_whatever_the_ties(run, qrels):
    assert_equals_trec_eval(run, qrels)


WIDER = {
    "nDCG": "ndcg",
    "nDCG@1": "ndcg_cut_1",
    "nDCG@3": "ndcg_cut_3",
    "nDCG@100": "ndcg_cut_100",
    "R@1": "recall_1",
    "R@5": "recall_5",
    "R@1000": "recall_1000",
    "P@1": "P_1",
    "P@7": "P_7",
    "P@20": "P_20",
    "RR": "recip_rank",
    "AP": "map",
    "AP@10": "map_cut_10",
    "Success@3": "success_3",
    "Success@50": "success_50",
}
ASKED = {
    "ndcg",
    "ndcg_cut.1,3,100",
    "recall.1,5,1000",
    "P.1,7,20",
    "recip_rank",
    "map",
    "map_cut.10",
    "success.3,50",
}


@given(run=RUNS, qrels=QRELS)
def test_the_other_measures_and_cutoffs_equal_trec_eval_with_ties_and_unjudged_passages(run, qrels):
    # On grades below 0 trec_eval's nDCG without a cutoff may crash or never end; its other measures pass over them.
    known = {query_id: {p: grade for p, grade in grades.items() if grade >= 0} for query_id, grades in qrels.items()}
    found: dict[str, dict[str, float]] = {}
    for judged, asked in ((qrels, ASKED - {"ndcg"}), (known, {"ndcg"})):
        evaluator = pytrec_eval.RelevanceEvaluator(judged, asked)
        for query_id, values in evaluator.evaluate({q: scores for q, scores in run.items() if scores}).items():
            found.setdefault(query_id, {}).update(values)
    ours = per_query(run, qrels, list(WIDER))
    for measure, theirs in WIDER.items():
        for query_id in qrels:
            expected = found.get(query_id, {}).get(theirs, 0.0)
            assert ours[display_name(measure)][query_id] == pytest.approx(expected, abs=1e-6), (measure, query_id)


NEVER_ENDS = """
from rankstill.evaluation import per_query
qrels = {"q1": {"a": 3, "b": 0}, "q2": {"a": -1, "b": -1}, "q3": {"c": -2}, "q4": {"a": -1, "c": 1}}
run = {query_id: {"a": 3.0, "b": 2.0, "c": 1.0} for query_id in qrels}
print({tuple(per_query(run, qrels, ["nDCG"])["nDCG"].items()) for _ in range(300)})
"""


def test_queries_with_grades_below_0_alone_end_and_count_as_zero():
    # In a process of its own, which can be ended: trec_eval reads beyond its memory there, and crashes or counts on.
    ran = subprocess.run([sys.executable, "-c", NEVER_ENDS], check=True, timeout=60, capture_output=True, text=True)
    assert ast.literal_eval(ran.stdout) == {(("q1", 1.0), ("q2", 0.0), ("q3", 0.0), ("q4", 0.5))}


def scifact_like(seed: int) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, int]]]:
    """300 queries, 5,183 numeric ids of unequal length, lists of 100, scores rounded until they tie."""
    rng = random.Random(seed)
    corpus = [str(rng.randrange(10 ** rng.randint(3, 9))) for _ in range(5183)]
    run, qrels = {}, {}
    for query in range(300):
        relevant = rng.sample(corpus, rng.choice([1, 1, 1, 2, 5]))
        found = {passage_id: round(rng.random(), 2) for passage_id in rng.sample(corpus, 97)}
        found |= {passage_id: round(rng.random() ** 0.1, 2) for passage_id in relevant if rng.random() < 0.9}
        qrels[str(query)] = dict.fromkeys(relevant, 1)
        if query % 50:
            run[str(query)] = found
    return run, qrels


def test_a_run_of_scifacts_shape_equals_trec_eval_also_through_a_file(tmp_path):
    run, qrels = scifact_like(seed=0)
    assert_equals_trec_eval(run, qrels)
    write_run(run, tmp_path / "run.trec", "tag")
    assert per_query(read_run(tmp_path / "run.trec"), qrels) == per_query(run, qrels)


def test_systems_stand_in_the_order_in_which_trec_eval_puts_their_run_files(tmp_path):
    _, qrels = scifact_like(seed=0)
    runs = {f"system-{seed}": scifact_like(seed)[0] for seed in range(1, 6)} | {"good": scifact_like(seed=0)[0]}
    for name, run in runs.items():
        write_run(run, tmp_path / f"{name}.trec", name)
    evaluator = pytrec_eval.RelevanceEvaluator(qrels, {"map", "ndcg_cut.10"})
    for measure, trec_name in (("AP", "map"), ("nDCG@10", "ndcg_cut_10")):
        ours, theirs = {}, {}
        for name, run in runs.items():
            ours[name] = aggregate(per_query(run, qrels, [measure]))[measure]
            with (tmp_path / f"{name}.trec").open() as file:
                values = evaluator.evaluate(pytrec_eval.parse_run(file))
            theirs[name] = sum(values.get(query_id, {}).get(trec_name, 0.0) for query_id in qrels) / len(qrels)
        assert ours == pytest.approx(theirs, abs=1e-6)
        assert sorted(ours, key=ours.get) == sorted(theirs, key=theirs.get)


def test_ties_break_the_same_way_in_measures_that_trec_eval_lacks():
    # trec_eval ranks b before a; ir_measures' own MRR@10 would rank a first.
    assert per_query({"q": {"a": 1.0, "b": 1.0}}, {"q": {"a": 1}}, ["MRR@10", "MRR", "Hit@1"]) == {
        "MRR@10": {"q": 0.5},
        "MRR": {"q": 0.5},
        "Hit@1": {"q": 0.0},
    }


def test_hand_worked_values():
    run = {"q": {"a": 4.0, "b": 3.0, "c": 2.0, "d": 1.0}}
    values = per_query(run, {"q": {"b": 1, "d": 1, "elsewhere": 1}}, ["MRR@10", "Recall@100", "Hit@1", "Hit@5", "P@2"])
    assert {measure: by_query["q"] for measure, by_query in values.items()} == pytest.approx(
        {"MRR@10": 1 / 2, "Recall@100": 2 / 3, "Hit@1": 0, "Hit@5": 1, "P@2": 1 / 2}
    )
    dcg = 1 / 1.584962500721156 + 1 / 2.321928094887362  # gains at ranks 2 and 4: 1 / log2(rank + 1)
    ideal = 1 + 1 / 1.584962500721156 + 1 / 2
    assert per_query(run, {"q": {"b": 1, "d": 1, "elsewhere": 1}}, ["nDCG@10"])["nDCG@10"]["q"] == pytest.approx(
        dcg / ideal
    )


def test_all_recall_is_1_once_every_relevant_passage_is_found():
    run = {"two": {"a": 4.0, "b": 3.0, "c": 2.0, "d": 1.0}, "one": {"a": 2.0, "b": 1.0}, "none": {"a": 1.0}}
    qrels = {"two": {"b": 1, "d": 2, "c": 0}, "one": {"b": 1, "a": -1}, "none": {"a": 0}, "absent": {"a": 1}}
    values = per_query(run, qrels, ["AllRecall@1", "AllRecall@2", "AllRecall@3", "AllRecall@4"])
    assert values == {
        "AllRecall@1": {"two": 0.0, "one": 0.0, "none": 0.0, "absent": 0.0},
        "AllRecall@2": {"two": 0.0, "one": 1.0, "none": 0.0, "absent": 0.0},  # of b and d only b
        "AllRecall@3": {"two": 0.0, "one": 1.0, "none": 0.0, "absent": 0.0},
        "AllRecall@4": {"two": 1.0, "one": 1.0, "none": 0.0, "absent": 0.0},
    }
    assert per_query(run, {"two": {"a": 1, "elsewhere": 1}}, ["AllRecall@100"])["AllRecall@100"]["two"] == 0.0


@given(run=RUNS, qrels=QRELS)
def test_all_recall_is_1_where_recall_is_and_0_elsewhere(run, qrels):
    values = per_query(run, qrels, ["Recall@3", "AllRecall@3"])
    assert values["AllRecall@3"] == {query_id: float(share == 1) for query_id, share in values["Recall@3"].items()}


def test_queries_that_the_run_lacks_count_as_zero():
    qrels = {"found": {"a": 1}, "absent": {"a": 1}, "empty": {"a": 1}, "unjudged": {}}
    values = per_query({"found": {"a": 1.0}, "empty": {}, "unjudged": {"a": 1.0}, "other": {"a": 1.0}}, qrels)
    assert values["Hit@1"] == {"found": 1.0, "absent": 0.0, "empty": 0.0, "unjudged": 0.0}
    assert aggregate(values)["Hit@1"] == 0.25
    assert aggregate(per_query({}, qrels)) == dict.fromkeys(DEFAULT_MEASURES, 0.0)


def test_queries_that_the_run_lacks_count_as_zero_in_measures_from_other_programs_too():
    qrels = {"found": {"a": 1}, "absent": {"a": 1}, "unjudged": {}}
    values = per_query({"found": {"a": 1.0}, "unjudged": {"a": 1.0}}, qrels, ["Judged@10", "Compat", "AP", "Bpref"])
    assert list(values) == ["Judged@10", "Compat", "AP", "Bpref"]
    assert all(by_query == {"found": 1.0, "absent": 0.0, "unjudged": 0.0} for by_query in values.values())


def test_a_program_that_fails_on_the_data_is_an_error_that_names_the_measure():
    with pytest.raises(RankstillError, match="measures nDCG@10, Accuracy: ir_measures could not compute one"):
        per_query({"q": {"a": 1.0}}, {"q": {"a": 1}}, ["nDCG@10", "Accuracy"])  # no pair of passages to order


def test_generic_names_are_shown_under_ours_and_once():
    assert display_name("Success@5") == "Hit@5"
    assert display_name("R@100") == display_name("Recall@100") == "Recall@100"
    assert display_name("AP(rel=2)@100") == "AP(rel=2)@100"
    assert display_name("P(cutoff=5)") == "P@5"
    values = per_query({"q": {"a": 1.0}}, {"q": {"a": 1}}, ["RR@10", "MRR@10", "NDCG@3"])
    assert values == {"MRR@10": {"q": 1.0}, "nDCG@3": {"q": 1.0}}


def test_relevance_levels_are_honoured():
    values = per_query({"q": {"a": 2.0, "b": 1.0}}, {"q": {"a": 1, "b": 2}}, ["MRR@10", "MRR(rel=2)@10", "P(rel=2)@1"])
    assert values == {"MRR@10": {"q": 1.0}, "MRR(rel=2)@10": {"q": 0.5}, "P(rel=2)@1": {"q": 0.0}}


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        ("ndcg@10", r'"ndcg@10": unknown. Did you mean nDCG@10\?'),
        ("hits@5", r"Did you mean Hit@5"),
        ("recal@100", r"Did you mean Recall@100"),
        ("allrecall@5", r"Did you mean AllRecall@5"),
        ("AllRecall@0", "at least 1"),
        ("zzzzzz", r"unknown. Use some of nDCG@10, Hit@1"),
        ("nDCG @ten", "settings cannot be read|not the name"),
        ("nDCG@ten", "settings cannot be read"),
        ("P", "lacks its cutoff"),
        ("P@0", "at least 1"),
        ("nDCG@-3", "at least 1"),
        ("nDCG@2.5", "invalid param cutoff=2.5"),
        ("P(level=2)@5", "unsupported params"),
        ("P(**{})@5", "settings cannot be read"),
        ("P(__import__('os'))@5", "settings cannot be read"),
        ("", "not the name of a measure"),
        ("RR(judged_only=True)@10", "with these settings"),
    ],
)
def test_a_measure_that_cannot_be_computed_is_named_with_what_to_do(measure, message):
    with pytest.raises(RankstillError, match=message) as error:
        per_query({"q": {"a": 1.0}}, {"q": {"a": 1}}, [measure])
    assert f'measure "{measure}"' in str(error.value)
    assert "\n" not in str(error.value)


def test_scores_that_are_not_numbers_and_missing_judgements_are_refused():
    with pytest.raises(DataError, match='passage "a" for query "q" is not a number'):
        per_query({"q": {"a": float("nan")}}, {"q": {"a": 1}})
    with pytest.raises(DataError, match="no judged queries"):
        per_query({"q": {"a": 1.0}}, {})
