"""Labels by the ranker: of the queries that the LLM ranked, of unlabelled ones, and of sentences as queries."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rankstill.labels.labelling import RankedBy, Unlabelled, label
from rankstill.labels.queries import asked_queries, sentences_as_queries
from rankstill.labels.table import LabelledQuery
from rankstill.workspace import digest

if TYPE_CHECKING:
    from rankstill.engine.cluster import Cluster
    from rankstill.parts import Parts


def label_by_ranker(
    parts: Parts, listed: Mapping[str, NDArray[np.int64]], folder: Path, candidates: str
) -> Iterator[LabelledQuery]:
    """Whatever a chain has for its ranker to label; where a baseline labels the training queries, these are left out.

    Args:
        parts: of a chain whose ranker is trained.
        listed: positions of each query's candidates, best first, by query id.
        folder: for what is finished of it, to go on from after a kill.
        candidates: fingerprint of what the first stage is. What it finds for pseudo-queries is most of the work and is
            kept in the workspace under `found/`, so that another ranker labels them in seconds.
    """
    from rankstill.ranker import Ranker

    config, dataset = parts.config.labels, parts.teaching_set
    asked: list[Unlabelled] = []
    ranked_by: RankedBy = "ranker"
    if config.ranked_by in ("both", "ranker", "llm"):
        ranked_by = config.ranked_by
        asked = asked_queries(dataset, parts.rankings, listed, parts.config.candidates.n)
    sentences = sentences_as_queries(dataset, parts.before, config, parts.config.seed)
    if parts.cluster is not None:
        yield from _label_on_cluster(parts, parts.cluster, asked, sentences, ranked_by)
        return
    asked_for = [config.pseudo_queries, config.depth, parts.config.seed, sorted(parts.held_out_queries)]
    found = _kept(parts.workspace.path("found"), digest(candidates, asked_for))
    ranker = Ranker.load(parts.workspace.path("ranker"), parts.config.device)
    # Late interaction of every pseudo-query would take longer than all else.
    free = ranker.without_late()
    free = free.prior_alone() if config.pseudo_by == "prior" else free
    yield from label(
        asked, parts.with_late(parts.before), ranker, folder / "asked", depth=config.depth, ranked_by=ranked_by
    )
    yield from label(
        sentences, parts.before, free, folder / "pseudo", depth=config.depth, ranked_by=ranked_by, found=found
    )


def _label_on_cluster(
    parts: Parts, cluster: Cluster, asked: list[Unlabelled], sentences: list[Unlabelled], ranked_by: RankedBy
) -> Iterator[LabelledQuery]:
    """Parts that are finished lie in the cluster's store."""
    config, ranker = parts.config.labels, parts.workspace.path("ranker")
    free = config.pseudo_by == "prior"
    late = parts.with_late(parts.before).late
    yield from cluster.label(asked, ranker, prior_alone=False, depth=config.depth, ranked_by=ranked_by, late=late)
    yield from cluster.label(sentences, ranker, prior_alone=free, depth=config.depth, ranked_by=ranked_by)


def _kept(folder: Path, name: str) -> Path:
    """A folder's only subfolder of that name: what was kept for other settings goes."""
    for other in folder.glob("*"):
        if other.name != name:
            shutil.rmtree(other)
    return folder / name
