"""Retrieval measures per query, computed by ir_measures (trec_eval and friends), under the names that we show."""

from __future__ import annotations

import ast
import difflib
import math
import re
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from rankstill.data.dataset import Qrels
from rankstill.errors import DataError, RankstillError
from rankstill.evaluation.runs import Run, check_score, descending, rank_order

PerQuery = dict[str, dict[str, float]]
"""Values of one system: measure -> query id -> value."""

DEFAULT_MEASURES = ("nDCG@10", "Hit@1", "Hit@5", "Hit@10", "Hit@20", "Recall@100", "MRR@10")

_OURS = {"Success": "Hit", "R": "Recall", "RR": "MRR"}  # ir_measures' name -> the name we show
_FORM = re.compile(r"(?P<name>\w+)(?P<rest>(?:\((?P<settings>.*)\))?(?:@(?P<cutoff>.+))?)")
_HINT = 'Write it like "nDCG@10" or "P(rel=2)@5".'


def per_query(run: Run, qrels: Qrels, measures: Sequence[str] = DEFAULT_MEASURES, relevant_from: int = 1) -> PerQuery:
    """Measure a run, query by query.

    Ties are broken as trec_eval breaks them (`rank_order`) for every measure, so that the values equal trec_eval's
    own; ir_measures alone would break them otherwise for measures that trec_eval lacks, such as MRR@10.

    Args:
        run: query id -> passage id -> score.
        qrels: query id -> passage id -> grade; above 0 is relevant, below 0 is not judged. Its queries are the ones
            measured, whatever else the run holds; those that the run lacks, and those without a relevant passage, count
            as 0.
        measures: names such as "nDCG@10", "Hit@1", "Recall@100", "MRR@10", "AllRecall@5" (`all_recall`), or any that
            ir_measures knows, such as "AP", "P(rel=2)@5" or "Success@20".
        relevant_from: the lowest grade that is relevant to measures which know relevant and not relevant alone, but for
            those that name their own (rel).

    Returns:
        measure -> query id -> value, measures under `display_name` in the order asked, queries in the qrels' order.

    Raises:
        RankstillError: a measure is unknown, or cannot be computed with what is installed or on these queries.
        DataError: there are no judged queries, or a score is NaN.
    """
    import ir_measures

    if not qrels:
        raise DataError("qrels: no judged queries, so nothing can be measured. Give the qrels of the test queries.")
    known = {_shown(measure): _relevant_from(measure, relevant_from) for measure in map(_parse, measures)}
    names = {measure: name for name, measure in known.items()}
    judged = {query_id: _judgements(grades) for query_id, grades in qrels.items()}
    ranked = {query_id: _rank_scores(query_id, run[query_id]) for query_id in judged if run.get(query_id)}
    values: PerQuery = {name: dict.fromkeys(qrels, 0.0) for name in known}
    if not ranked:
        return values
    try:
        for metric in ir_measures.iter_calc(list(known.values()), judged, ranked):
            values[names[metric.measure]][metric.query_id] = float(metric.value)
    except (ArithmeticError, subprocess.SubprocessError) as error:  # from the lesser programs that ir_measures calls
        raise RankstillError(
            f"measures {', '.join(known)}: ir_measures could not compute one of them ({error}). "
            f"Leave out those that are not like {', '.join(DEFAULT_MEASURES)}."
        ) from None
    return values


@cache
def all_recall() -> Any:
    """ir_measures' measure AllRecall@k: 1 for a query all of whose relevant passages are among the first k, else 0.

    It is for readers that must put several passages together, as in multi-hop question answering: HippoRAG's all-recall
    (Gutiérrez et al. 2024, https://arxiv.org/abs/2405.14831), elsewhere full or perfect recall. With one relevant
    passage it is Hit@k. It is never above Recall@k.
    """
    import ir_measures

    def all_found(qrels: Any, run: Any) -> float:  # pandas' DataFrames of one query
        relevant = set(qrels["doc_id"][qrels["relevance"] > 0])
        return float(bool(relevant) and relevant <= set(run["doc_id"]))

    return ir_measures.define_byquery(all_found, "AllRecall")


def aggregate(values: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Means over queries.

    Args:
        values: measure -> query id -> value, as `per_query` gives them.
    """
    return {measure: math.fsum(by_query.values()) / len(by_query) for measure, by_query in values.items()}


def display_name(measure: str) -> str:
    """The name under which a measure is shown and stored: "Success@5" is "Hit@5", "R@100" is "Recall@100".

    Raises:
        RankstillError: the measure is unknown; the message names close ones.
    """
    return _shown(_parse(measure))


def check_measures(measures: Sequence[str]) -> None:
    """Whether all of these can be computed; RankstillError if one is unknown, or needs what is not installed."""
    for measure in measures:
        _parse(measure)


def _shown(measure: Any) -> str:
    name, rest = re.fullmatch(r"(\w+)(.*)", repr(measure)).groups()  # type: ignore[union-attr]
    return f"{_OURS.get(name, name)}{rest}"


def _relevant_from(measure: Any, grade: int) -> Any:
    """The measure with this as its lowest relevant grade, where it has one and does not name it itself."""
    takes_one = grade != 1 and "rel" in measure.SUPPORTED_PARAMS and "rel" not in measure.params
    return measure(rel=grade) if takes_one else measure


def _parse(text: str) -> Any:
    """The ir_measures measure of this name. (Its own parser uses parts of `ast` that Python 3.14 no longer has.)"""
    import ir_measures

    registry = ir_measures.measures.registry | {"Hit": ir_measures.Success, "AllRecall": all_recall()}
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise RankstillError(f'measure "{text}": not the name of a measure. {_HINT}')
    if match["name"] not in registry:
        raise RankstillError(f'measure "{text}": unknown. {_suggestion(match, registry)}')
    measure = registry[match["name"]]
    try:
        settings = _settings(match["settings"] or "")
        if match["cutoff"]:
            settings[measure.AT_PARAM] = ast.literal_eval(match["cutoff"])
    except (ValueError, SyntaxError):
        raise RankstillError(f'measure "{text}": its settings cannot be read. {_HINT}') from None
    measure = measure(**settings)
    if problem := _problem(measure):
        raise RankstillError(f'measure "{text}": {problem}. {_HINT}')
    if not ir_measures.DefaultPipeline.supports(measure):
        raise RankstillError(f'measure "{text}": {_what_it_lacks(measure)}')
    return measure


def _settings(text: str) -> dict[str, Any]:
    call = ast.parse(f"measure({text})", mode="eval").body
    if not isinstance(call, ast.Call) or call.args or any(keyword.arg is None for keyword in call.keywords):
        raise ValueError("settings must be named")
    return {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}


def _problem(measure: Any) -> str:
    """What is wrong with a measure's settings; empty if nothing."""
    missing = [name for name, info in measure.SUPPORTED_PARAMS.items() if info.required and name not in measure.params]
    if missing:
        return f"lacks its {' and '.join(missing)}"
    try:
        measure.validate_params()
    except AssertionError as error:
        return str(error)
    cutoff = measure.params.get("cutoff")
    return "the cutoff must be at least 1" if cutoff is not None and cutoff < 1 else ""


def _suggestion(match: re.Match[str], registry: dict[str, Any]) -> str:
    plain = {known.lower(): known for known in reversed(registry)}  # reversed: of nDCG and NDCG the first is the name
    wanted = match["name"].lower()
    close = [wanted] if wanted in plain else difflib.get_close_matches(wanted, plain, n=3, cutoff=0.5)
    if close:
        return f"Did you mean {' or '.join(plain[name] + match['rest'] for name in close)}?"
    return f"Use some of {', '.join(DEFAULT_MEASURES)}."


def _what_it_lacks(measure: Any) -> str:
    import ir_measures

    ways = [
        way.install_instructions() or way.NAME for way in ir_measures.DefaultPipeline.providers if way.supports(measure)
    ]
    if not ways:
        return "no program that ir_measures knows computes it with these settings. Change the settings."
    return f"needs a program that is not installed. Get it ({' or '.join(ways)}) or leave the measure out."


def _judgements(grades: Mapping[str, int]) -> dict[str, int]:
    """The grades without those below 0, which to trec_eval mean "not judged".

    They change nothing where a query has others; where it has none, nDCG without a cutoff crashes or never ends.
    """
    return {passage_id: int(grade) for passage_id, grade in grades.items() if grade >= 0}


def _rank_scores(query_id: str, scores: Mapping[str, float]) -> dict[str, float]:
    """Scores without ties that order the passages as trec_eval would order the given ones."""
    for passage_id, score in scores.items():
        check_score(score, query_id, passage_id)
    return descending(rank_order(scores))
