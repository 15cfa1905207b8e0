"""The chain's systems on the same candidates, from a finished workspace: what `attribution` measures."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rankstill.data import Dataset, shared_gold
from rankstill.errors import DataError, WorkspaceError
from rankstill.evaluation.attribution import Attribution, attribute
from rankstill.evaluation.runs import Run
from rankstill.labels.labelling import order_scores
from rankstill.ranker import Ranker
from rankstill.retrieval import FEATURES
from rankstill.teacher import read_rankings

if TYPE_CHECKING:
    from rankstill.components import Components
    from rankstill.retrieval import FirstStage
    from rankstill.teacher import Ranking

_TEACHER, _RANKER, _RETRIEVER = "teacher", "ranker", "retriever"


@dataclass(frozen=True)
class _List:
    """A query's candidates, `ranked` of them placed by the teacher, best first. [candidates]"""

    query_id: str
    positions: NDArray[np.int64]
    ranked: int = 0


def attribute_workspace(components: Components) -> Attribution:
    """Where a finished chain loses quality, on held-out, test and training queries separately.

    Held-out queries are those that the teacher ranked, that have judgements, and that were kept out of training: those
    of the held-out lists, and such as `leaks: drop` dropped, where recorded rankings hold them. They alone prove
    something of the link from teacher to ranker. Test queries are taken without a ranking, on the first stage's k
    candidates, and say something of the link from ranker to retriever. Neither group has a query that shares a gold
    passage with a training query. On training queries all links are measured, and nothing is proven.

    Args:
        components: the components of a workspace whose chain has come as far as the step `reranker`.

    Raises:
        WorkspaceError: it has not.
        DataError: no query of the three groups has judgements, so that there is nothing to measure with.
    """
    workspace, config, dataset = components.workspace, components.config, components.test_set
    if not workspace.record("reranker"):
        raise WorkspaceError(f"{workspace.folder}: its chain is not finished. Run `rankstill run` on it first.")
    after = components.with_late(components.first_stage_after(workspace.path("vectors-after"), components.model_after))
    ranker = Ranker.load(workspace.path("ranker"), config.device)
    temperatures = {
        _TEACHER: 1.0,
        _RANKER: config.retriever.teacher_temperature,
        _RETRIEVER: components.student_temperature,
    }
    groups = []
    tested = f"test queries, judged by {dataset.judged_by}" if dataset.judged_by else "test queries"
    for name, proof, lists in (
        ("held-out queries", True, _ranked_lists(dataset, _held_out(components))),
        (tested, True, _found_lists(dataset, components.before, config.candidates.k)),
        ("training queries", False, _ranked_lists(dataset, components.lists.training)),
    ):
        judged = [each for each in lists if _is_judged(dataset, each.query_id)]
        if judged:
            chain = _score(judged, dataset, components.with_late(components.before), after, ranker)
            qrels = {each.query_id: dataset.qrels[each.query_id] for each in judged}
            resampling = {"seed": config.seed, "resamples": config.evaluation.resamples}
            groups.append(attribute(name, chain, qrels, proof=proof, temperatures=temperatures, **resampling))
    if not groups:
        raise DataError(f"{dataset.name}: no query has judgements, so no link can be measured. Add qrels.")
    return Attribution(tuple(groups), tuple(_notes(components, {group.name for group in groups})))


def _held_out(components: Components) -> list[Ranking]:
    """Rankings of queries that neither taught nor share a gold passage with one that did."""
    teaching = components.lists.teaching_set
    taught = {*teaching.train, *teaching.extra}
    others = tuple(each for each in teaching.queries if each not in taught)
    wanted = _unseen(teaching, others)
    if components.config.teacher.kind != "recorded":
        return [each for each in components.lists.held_out if each.query_id in wanted]
    rankings, _ = read_rankings(components.recorded_rankings, replace(components.dataset, train=wanted))
    return rankings


def _unseen(dataset: Dataset, query_ids: Sequence[str]) -> tuple[str, ...]:
    """The queries that share no gold passage with a training query."""
    seen = frozenset(shared_gold(replace(dataset, test=tuple(query_ids))).test)
    return tuple(each for each in query_ids if each not in seen)


def _is_judged(dataset: Dataset, query_id: str) -> bool:
    return any(grade > 0 for grade in dataset.qrels.get(query_id, {}).values())


def _ranked_lists(dataset: Dataset, rankings: Sequence[Ranking]) -> list[_List]:
    corpus = dataset.corpus
    return [
        _List(
            ranking.query_id,
            np.array([corpus.position(each) for each in (*ranking.ranking, *ranking.unranked)]),
            len(ranking.ranking),
        )
        for ranking in rankings
    ]


def _found_lists(dataset: Dataset, first_stage: FirstStage, k: int) -> list[_List]:
    test = _unseen(dataset, dataset.test)
    found = first_stage.search(dataset.texts_of(test), k)
    return [_List(query_id, candidates.positions) for query_id, candidates in zip(test, found, strict=True)]


def _score(
    lists: Sequence[_List], dataset: Dataset, before: FirstStage, after: FirstStage, ranker: Ranker
) -> dict[str, Run]:
    """The chain's scores of each list: the ranker's and the retriever's, and first the teacher's where it ranked."""
    corpus = dataset.corpus
    queries, positions = dataset.texts_of(each.query_id for each in lists), [each.positions for each in lists]
    features = list(before.features(queries, positions))
    pairs = [(query, text) for query, here in zip(queries, positions, strict=True) for text in corpus.texts(here)]
    ends = np.cumsum([len(here) for here in positions])[:-1]
    dense = FEATURES.index("dense")
    chain = {
        _RANKER: np.split(ranker.score(pairs, np.concatenate(features)), ends),
        _RETRIEVER: [each[:, dense] for each in after.features(queries, positions)],
    }
    if all(each.ranked for each in lists):
        chain = {_TEACHER: [order_scores(each.ranked, len(each.positions)) for each in lists], **chain}
    return {
        system: {
            # In corpus order, which is that of ties.
            each.query_id: {corpus.ids[int(each.positions[row])]: float(own[row]) for row in np.argsort(each.positions)}
            for each, own in zip(lists, scores, strict=True)
        }
        for system, scores in chain.items()
    }


def _notes(components: Components, measured: Collection[str]) -> Iterator[str]:
    config = components.config
    if "held-out queries" not in measured:
        yield (
            "No held-out query: none that the teacher ranked has judgements, taught nothing and shares no gold passage "
            "with one that did. So nothing is proven of the link from teacher to ranker; recorded rankings of such "
            "queries beside the others would be measured."
        )
    if config.labels.ranked_by != "ranker":
        yield (
            "On training queries the retriever did not learn from the ranker alone (labels.ranked_by: "
            f"{config.labels.ranked_by})."
        )
    yield "The teacher gave an order and no scores; for KL its distribution weighs rank r by 1 / r^2."
