"""The labels of a chain: the ranker's, or those of a configured baseline."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rankstill.compute.memory import release_memory
from rankstill.labels.choice import label_without_ranker
from rankstill.labels.labelling import RankedBy, UnlabelledQuery, asked_queries, label
from rankstill.labels.table import LabelledQuery, write_labels
from rankstill.ranker import Ranker
from rankstill.retrieval import read_candidates

if TYPE_CHECKING:
    from rankstill.components import Components


def make_labels(components: Components, folder: Path, candidates: str, *, has_ranker: bool) -> None:
    """Write the labels that teach: the ranker's, or those that a configured baseline learns from.

    Args:
        components: the components of a chain that has candidates and, where it needs one, a ranker.
        folder: for `labels.parquet`, and for what is finished of it, to go on from after a kill; on a cluster that lies
            in the cluster's store.
    """
    found = read_candidates(components.workspace.path("candidates.parquet"), components.dataset.corpus)
    labelled: Iterable[LabelledQuery] = label_without_ranker(components, found, candidates)
    if has_ranker:
        labelled = itertools.chain(labelled, _by_ranker(components, found, folder))
    write_labels(labelled, folder / "labels.parquet")
    release_memory()


def _by_ranker(
    components: Components, listed: Mapping[str, NDArray[np.int64]], folder: Path
) -> Iterator[LabelledQuery]:
    """The ranker's labels of all queries, but for the training queries where a baseline labels these."""
    config, dataset = components.config.labels, components.lists.teaching_set
    asked: list[UnlabelledQuery] = []
    ranked_by: RankedBy = "ranker"
    if config.ranked_by in ("both", "ranker", "llm"):
        ranked_by = config.ranked_by
        asked = asked_queries(dataset, components.lists.training, listed, components.config.candidates.n)
    ranker, first_stage = components.workspace.path("ranker"), components.with_late(components.before)
    if components.cluster is not None:
        yield from components.cluster.label(
            asked, ranker, depth=config.depth, ranked_by=ranked_by, late=first_stage.late
        )
        return
    loaded = Ranker.load(ranker, components.config.device)
    yield from label(asked, first_stage, loaded, folder / "asked", depth=config.depth, ranked_by=ranked_by)
