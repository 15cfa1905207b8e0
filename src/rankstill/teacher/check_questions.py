"""What a teacher is checked with: judged training queries, or sentences of the corpus where nothing is judged."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rankstill.data import Dataset
from rankstill.data.dataset import Qrels
from rankstill.errors import DataError
from rankstill.teacher.asking import CandidateList
from rankstill.teacher.write_queries.sentences import draw_sentences

if TYPE_CHECKING:
    from rankstill.config import Config
    from rankstill.retrieval import FirstStage

_LOOK_AT = 20
"""Judged queries to search for each one to ask: not every one's candidates hold a relevant passage."""


@dataclass(frozen=True)
class Questions:
    """What a teacher is checked with.

    Args:
        planted: whether they are sentences of the corpus, each with the passage that it was taken from.
    """

    lists: tuple[CandidateList, ...]
    qrels: Qrels
    planted: bool
    note: str


def judged_questions(config: Config, dataset: Dataset, first_stage: FirstStage, count: int) -> Questions | None:
    """Training queries that can tell a good order from a bad one: some candidate of theirs is judged relevant.

    Args:
        count: queries, at most.

    Returns:
        The questions, or None if no training query is judged.

    Raises:
        DataError: some are, but no candidate of theirs is relevant.
    """
    relevant = {
        query_id: {passage_id for passage_id, grade in dataset.qrels.get(query_id, {}).items() if grade > 0}
        for query_id in dataset.train
    }
    judged = [query_id for query_id, passages in relevant.items() if passages]
    if not judged:
        return None
    random.Random(config.seed).shuffle(judged)
    judged = judged[: _LOOK_AT * count]
    k = config.candidates.k
    lists: list[CandidateList] = []
    looked_at = 0
    for query_id, found in zip(judged, first_stage.search(dataset.texts_of(judged), k), strict=True):
        if len(lists) == count:
            break
        looked_at += 1
        listed = CandidateList.at(found.positions, first_stage.corpus, query_id, dataset.queries[query_id].text)
        if relevant[query_id].intersection(listed.ids):
            lists.append(listed)
    if not lists:
        raise DataError(
            f"{dataset.name}: none of {looked_at:,} judged training queries has a relevant passage among its {k} "
            "candidates, so no order of them is better than another. Raise candidates.k."
        )
    note = (
        f"asked about {len(lists):,} training queries: of {looked_at:,} judged ones that were looked at, those with a "
        f"relevant passage among the first stage's {k} candidates"
    )
    return Questions(tuple(lists), {each.query_id: dataset.qrels[each.query_id] for each in lists}, False, note)


def planted_questions(config: Config, first_stage: FirstStage, count: int) -> Questions:
    """Sentences of the corpus, and for each the first stage's candidates, its own passage last if it was not found.

    Arguments as for `judged_questions`.
    """
    corpus = first_stage.corpus
    sentences = draw_sentences(corpus, count, config.seed)
    lists = []
    for sentence, found in zip(
        sentences, first_stage.search([each.text for each in sentences], config.candidates.k), strict=True
    ):
        positions = [int(each) for each in found.positions]
        if sentence.passage not in positions:
            positions[-1] = sentence.passage
        lists.append(CandidateList.at(positions, corpus, sentence.id, sentence.text))
    qrels = {each.id: {corpus.ids[each.passage]: 1} for each in sentences}
    note = (
        f"no training query is judged: asked about {len(lists):,} sentences of the corpus, and counted the passage "
        "that each stands in as the only relevant one. This is an easier question than your users ask, above all for "
        "the first stage, which sees the same words; a few dozen judged queries would tell more"
    )
    return Questions(tuple(lists), qrels, True, note)
