"""Evaluation: TREC runs, retrieval measures, answer matching, and a paired test for every figure.

It also compares slices of the queries, the chain's links (attribution), and a second dataset (forgetting).
"""

from rankstill.evaluation.answers import answer_qrels, merge_qrels
from rankstill.evaluation.metrics import aggregate, check_measures, per_query
from rankstill.evaluation.runs import Run, break_ties, rank_order, read_run, write_run
from rankstill.evaluation.significance import Comparison, compare, holm, interval
from rankstill.evaluation.table import EvaluationTable, evaluate_runs, render

__all__ = [
    "Comparison",
    "EvaluationTable",
    "Run",
    "aggregate",
    "answer_qrels",
    "break_ties",
    "check_measures",
    "compare",
    "evaluate_runs",
    "holm",
    "interval",
    "merge_qrels",
    "per_query",
    "rank_order",
    "read_run",
    "render",
    "write_run",
]
