"""Evaluation: TREC runs, retrieval measures, answer matching, and paired tests beside every figure."""

from rankstill.evaluation.answers import answer_qrels, has_answer, hit_at_k, merge_qrels
from rankstill.evaluation.metrics import DEFAULT_MEASURES, PerQuery, aggregate, display_name, per_query
from rankstill.evaluation.runs import Run, rank_order, read_run, write_qrels, write_run
from rankstill.evaluation.significance import Comparison, compare, holm, interval
from rankstill.evaluation.table import EvaluationTable, SystemResult, evaluate_runs, render

__all__ = [
    "DEFAULT_MEASURES",
    "Comparison",
    "EvaluationTable",
    "PerQuery",
    "Run",
    "SystemResult",
    "aggregate",
    "answer_qrels",
    "compare",
    "display_name",
    "evaluate_runs",
    "has_answer",
    "hit_at_k",
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
