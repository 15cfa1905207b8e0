"""The labels of a chain: the ranker's, or those of a configured baseline."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from rankstill.compute.memory import release_memory
from rankstill.labels.choice import label_without_ranker
from rankstill.labels.labelling import RankedBy, UnlabelledQuery, asked_queries, label
from rankstill.labels.table import LabelledQuery, write_labels
from rankstill.ranker import Ranker
from rankstill.retrieval import read_candidates

if TYPE_CHECKING:
    from rankstill.components import Components


def make_labels(components: Components, folder: Path, candidates: str, *, has_ranker: bool) -> Sequence[str]:
    """Write the labels that teach: the ranker's, or those that a configured baseline learns from.

    Args:
        components: the components of a chain that has candidates and, where it needs one, a ranker.
        folder: for `labels.parquet`, and for what is finished of it, to go on from after a kill; on a cluster that lies
            in the cluster's store.

    Returns:
        A note if the LLM did not rank all of these queries.
    """
    found = read_candidates(components.workspace.path("candidates.parquet"), components.dataset.corpus)
    labelled: Iterable[LabelledQuery] = label_without_ranker(components, found, candidates)
    notes = []
    if has_ranker:
        config, lists = components.config, components.lists
        unranked = lists.unranked(found)
        queries = asked_queries(lists.teaching_set, lists.training, found, config.candidates.n, unranked)
        labelled = itertools.chain(labelled, _by_ranker(components, queries, folder))
        if unranked:
            notes.append(f"{len(unranked):,} queries that the LLM did not rank are labelled by the ranker")
    write_labels(labelled, folder / "labels.parquet")
    release_memory()
    return notes


def _by_ranker(components: Components, asked: Sequence[UnlabelledQuery], folder: Path) -> Iterator[LabelledQuery]:
    ranked_by = cast(RankedBy, components.config.labels.ranked_by)  # the other values do without a ranker
    ranker, first_stage = components.workspace.path("ranker"), components.with_late(components.before)
    if components.cluster is not None:
        yield from components.cluster.label(asked, ranker, ranked_by=ranked_by, late=first_stage.late)
        return
    loaded = Ranker.load(ranker, components.config.device)
    yield from label(asked, first_stage, loaded, folder / "asked", ranked_by=ranked_by)
