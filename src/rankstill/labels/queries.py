"""Which queries are labelled: those that the LLM ranked, the user's unlabelled ones, and sentences of the corpus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from rankstill.candidates import FirstStage
from rankstill.datasets import Dataset
from rankstill.labels.labelling import Unlabelled
from rankstill.labels.pseudo import pseudo_queries, query_resemblance

if TYPE_CHECKING:
    from rankstill.config import LabelsConfig
    from rankstill.teacher import Ranking

_NOTHING = np.empty(0, dtype=np.int64)


def asked_queries(
    dataset: Dataset, rankings: Sequence[Ranking], candidates: Mapping[str, NDArray[np.int64]], n: int
) -> list[Unlabelled]:
    """The queries that the LLM ranked, their lists filled up to n, and the unlabelled ones of the user's.

    Args:
        dataset: whose queries they are.
        rankings: the LLM's.
        candidates: positions of each ranked query's candidates, best first, by query id.
        n: passages of a ranked query to label.
    """
    corpus, queries = dataset.corpus, dataset.queries
    asked = []
    for ranking in rankings:
        ranked = np.array([corpus.position(each) for each in ranking.ranking])
        others = [position for position in candidates[ranking.query_id] if position not in ranked]
        fill = np.array(others[: max(0, n - len(ranked))], dtype=np.int64)
        asked.append(Unlabelled(ranking.query_id, queries[ranking.query_id].text, "teacher", ranked, fill))
    return asked + [Unlabelled(each, queries[each].text, "extra", _NOTHING) for each in dataset.extra]


def sentences_as_queries(
    dataset: Dataset, first_stage: FirstStage, config: LabelsConfig, seed: int
) -> list[Unlabelled]:
    """Sentences of the corpus as queries, each with the weight that it has by its likeness to the users' queries.

    Args:
        dataset: whose corpus and queries.
        first_stage: of that corpus.
        config: how many.
        seed: of the draw.
    """
    if not config.pseudo_queries:
        return []
    asked = first_stage.encode_queries(dataset.texts_of([*dataset.train, *dataset.extra]))
    resemblance = None
    if first_stage.has_sentences:
        resemblance = query_resemblance(first_stage.vectors.sentences, asked, seed)
    drawn = pseudo_queries(dataset.corpus, config.pseudo_queries, seed, resemblance)
    if resemblance is None:
        # Only what was drawn can be looked at: all count, but not all as much.
        log_odds = query_resemblance(first_stage.encode_queries([each.text for each in drawn]), asked, seed)
        drawn = [replace(each, likeness=float(expit(odds))) for each, odds in zip(drawn, log_odds, strict=True)]
    return [
        Unlabelled(each.id, each.text, "pseudo", _NOTHING, made_from=each.made_from, weight=each.likeness)
        for each in drawn
    ]
