"""Gains for slices of the queries: gold passage seen in training or not, query length, lexical overlap."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from rankstill.data.dataset import Dataset
from rankstill.evaluation.metrics import display_name, per_query
from rankstill.evaluation.runs import Run
from rankstill.evaluation.significance import Comparison, compare
from rankstill.retrieval.bm25 import Analyzer
from rankstill.tables import markdown_rows

Groups = Mapping[str, Mapping[str, Sequence[str]]]
"""What queries are split by -> name of the slice -> ids of its queries."""


@dataclass(frozen=True)
class Slice:
    """Some of the queries.

    Args:
        by: what they were split by.
        comparisons: each system compared with the baseline on them; empty for no queries.
    """

    by: str
    name: str
    queries: tuple[str, ...]
    comparisons: dict[str, Comparison]


@dataclass(frozen=True)
class SliceTable:
    """One measure of several systems, on all queries and on slices of them.

    Args:
        values: system -> query id -> value; the first system is the baseline.
        slices: all queries first.
        judged_by: the LLM that judged, and when; empty where people did.
    """

    measure: str
    values: Mapping[str, Mapping[str, float]] = field(repr=False)
    slices: tuple[Slice, ...]
    seed: int
    judged_by: str = ""

    def to_json(self) -> dict[str, Any]:
        """Everything as plain dicts, lists and numbers, the per-query values with it."""
        return {
            "measure": self.measure,
            "judged_by": self.judged_by,
            "seed": self.seed,
            "queries": {
                query_id: {system: by_query[query_id] for system, by_query in self.values.items()}
                for query_id in next(iter(self.values.values()))
            },
            "slices": [{**asdict(part), "queries": list(part.queries)} for part in self.slices],
        }

    def to_markdown(self) -> str:
        """The table as GitHub Markdown, with what may and may not be read from it."""
        baseline, *systems = self.values
        rows = [
            [f"{self.measure} by", "queries", "n", baseline, *systems],
            *([part.by, part.name, *_cells(part, systems)] for part in self.slices),
        ]
        caption = (
            f"Each further system: its difference to {baseline} [95 % paired bootstrap interval], and for how many "
            "queries it is better / worse. Intervals are not corrected for the number of slices and systems: a slice "
            "shows where to look, but proves nothing."
        )
        if self.judged_by:
            caption = f"Judged by {self.judged_by}. {caption}"
        return "\n".join([*markdown_rows(rows, text_columns=2), "", caption, ""])


def slice_runs(
    runs: Mapping[str, Run],
    dataset: Dataset,
    trained: Collection[str],
    *,
    language: str | None,
    measure: str = "nDCG@10",
    seed: int = 0,
    resamples: int = 10_000,
) -> SliceTable:
    """Runs over the dataset's test queries, compared on all of them and slice by slice (`slice_queries`).

    Args:
        runs: system -> its run; the first is the baseline.
        trained: ids of the queries that taught.
        language: of the analysis behind lexical overlap, as in the first stage (`candidates.language`).

    Raises:
        RankstillError: the measure is unknown.
        DataError: the dataset has no judged test queries.
    """
    qrels = dataset.test_qrels()
    shown = display_name(measure)
    values = {name: per_query(run, qrels, [measure], dataset.relevant_from)[shown] for name, run in runs.items()}
    groups = slice_queries(dataset, dataset.test, trained, language)
    table = compare_slices(values, groups, shown, seed, resamples)
    return replace(table, judged_by=dataset.judged_by)


def compare_slices(
    values: Mapping[str, Mapping[str, float]],
    groups: Groups,
    measure: str,
    seed: int = 0,
    resamples: int = 10_000,
) -> SliceTable:
    """Compare per-query values on all queries and on each slice.

    Args:
        values: system -> query id -> value, the same queries each; the first system is the baseline.
        groups: of these queries.
    """
    (_, before), *others = values.items()
    named = [("all", "all queries", tuple(before))]
    named += [(by, name, tuple(members)) for by, parts in groups.items() for name, members in parts.items()]

    def compared(ids: Sequence[str]) -> dict[str, Comparison]:
        old = [before[each] for each in ids]
        return {name: compare(old, [new[each] for each in ids], seed, resamples) for name, new in others if ids}

    slices = [Slice(by, name, ids, compared(ids)) for by, name, ids in named]
    return SliceTable(measure, values, tuple(slices), seed)


def slice_queries(
    dataset: Dataset, query_ids: Sequence[str], trained: Collection[str], language: str | None
) -> dict[str, dict[str, tuple[str, ...]]]:
    """Queries split three ways.

    - gold passage: whether one of the query's gold passages is gold for a query that taught. Training queries without
      judgements cannot be seen to share one.
    - query length, in words: terciles.
    - lexical overlap, terciles: which share of the query's terms, stemmed and without stop words as for BM25, stands in
      its gold passage; in the one that has most of them, if there are several.

    Equal values are never parted, so terciles may differ in size, and there are fewer where values repeat. A query
    without a gold passage is in none but the slices by length.
    """
    gold = {each: _gold(dataset, each) for each in query_ids}
    taught = {passage for each in trained for passage in _gold(dataset, each)}
    seen: dict[str, list[str]] = {"seen as gold in training": [], "not seen": []}
    for query_id, passages in gold.items():
        if passages:
            seen["not seen" if taught.isdisjoint(passages) else "seen as gold in training"].append(query_id)
    lengths = {each: float(len(dataset.queries[each].text.split())) for each in query_ids}
    overlaps = _overlaps({each: passages for each, passages in gold.items() if passages}, dataset, language)
    return {
        "gold passage": {name: tuple(ids) for name, ids in seen.items()},
        "query length": terciles(lengths, "{:.0f} to {:.0f} words"),
        "lexical overlap": terciles(overlaps, "{:.0%} to {:.0%} of the terms"),
    }


def terciles(values: Mapping[str, float], form: str) -> dict[str, tuple[str, ...]]:
    """Queries with low, middle and high values, as near to thirds as equal values allow, which are never parted.

    Args:
        form: of a part's name, from its lowest and highest value.

    Returns:
        Name of the part -> ids of its queries, the lowest first; one, two or three parts, none if there are no values.
    """
    if not values:
        return {}
    cuts = np.quantile(list(values.values()), [1 / 3, 2 / 3], method="inverted_cdf")
    parts: list[list[str]] = [[], [], []]
    for query_id, value in values.items():
        parts[int(np.searchsorted(cuts, value, side="left"))].append(query_id)
    kept = [(name, ids) for name, ids in zip(("low", "middle", "high"), parts, strict=True) if ids]
    spans = [(min(values[each] for each in ids), max(values[each] for each in ids)) for _, ids in kept]
    return {f"{name}: {form.format(*span)}": tuple(ids) for (name, ids), span in zip(kept, spans, strict=True)}


def _gold(dataset: Dataset, query_id: str) -> tuple[str, ...]:
    least = dataset.relevant_from if query_id in dataset.test else 1
    return tuple(passage for passage, grade in dataset.qrels.get(query_id, {}).items() if grade >= least)


def _overlaps(gold: Mapping[str, Sequence[str]], dataset: Dataset, language: str | None) -> dict[str, float]:
    """Share of each query's distinct terms that stand in its gold passage, 0 to 1; 0 for a query without terms."""
    analyze = Analyzer(language)
    corpus = dataset.corpus
    wanted = list(dict.fromkeys(each for passages in gold.values() for each in passages))
    texts = corpus.texts(corpus.position(each) for each in wanted)
    terms = dict(zip(wanted, map(frozenset, analyze(texts)), strict=True))
    asked = map(frozenset, analyze(dataset.texts_of(gold)))
    return {
        query_id: max(len(words & terms[each]) for each in passages) / max(1, len(words))
        for (query_id, passages), words in zip(gold.items(), asked, strict=True)
    }


def _cells(part: Slice, systems: Sequence[str]) -> list[str]:
    if not part.queries:
        return ["0", "", *("" for _ in systems)]
    found = [part.comparisons[each] for each in systems]
    against = (f"{each.difference_text()}, {each.wins} / {each.losses}" for each in found)
    return [f"{len(part.queries):,}", f"{found[0].before:.3f}", *against]
