"""Evaluation: TREC runs, retrieval measures, answer matching, and a paired test for every figure.

It also compares slices of the queries, the chain's links (attribution), and a second dataset (forgetting).
"""

from rankstill.evaluation.answers import answer_qrels, has_answer, merge_qrels
from rankstill.evaluation.attribution import attribute
from rankstill.evaluation.metrics import DEFAULT_MEASURES, aggregate, check_measures, display_name, per_query
from rankstill.evaluation.runs import Run, break_ties, rank_order, read_run, write_qrels, write_run
from rankstill.evaluation.significance import Comparison, compare, holm, interval
from rankstill.evaluation.table import EvaluationTable, evaluate_runs, render

__all__ = [
    "DEFAULT_MEASURES",
    "Comparison",
    "EvaluationTable",
    "Run",
    "aggregate",
    "answer_qrels",
    "attribute",
    "break_ties",
    "check_measures",
    "compare",
    "display_name",
    "evaluate_runs",
    "has_answer",
    "holm",
    "interval",
    "merge_qrels",
    "per_query",
    "rank_order",
    "read_run",
    "render",
    "write_qrels",
    "write_run",
]
