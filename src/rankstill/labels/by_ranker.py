"""Labels by the ranker: of the queries that the LLM ranked, of unlabelled ones, and of sentences as queries."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rankstill.labels.labelling import label
from rankstill.labels.queries import asked_queries, sentences_as_queries
from rankstill.labels.table import LabelledQuery
from rankstill.workspace import digest

if TYPE_CHECKING:
    from rankstill.engine.cluster import Cluster
    from rankstill.parts import Parts


def label_by_ranker(
    parts: Parts, listed: Mapping[str, NDArray[np.int64]], folder: Path, candidates: str
) -> list[LabelledQuery]:
    """Whatever a chain has for its ranker to label; where a baseline labels the training queries, these are left out.

    Args:
        parts: of a chain whose ranker is trained.
        listed: positions of each query's candidates, best first, by query id.
        folder: for what is finished of it, to go on from after a kill.
        candidates: fingerprint of what the first stage is. What it finds for pseudo-queries is most of the work and is
            kept in the workspace under `found/`, so that another ranker labels them in seconds.
    """
    from rankstill.ranker import Ranker

    config, before, depth = parts.config.labels, parts.before, parts.config.labels.depth
    if parts.cluster is not None:
        return _on_cluster(parts, parts.cluster, listed)
    ranker = Ranker.load(parts.workspace.path("ranker"), parts.config.device)
    free = ranker.prior_alone() if config.pseudo_by == "prior" else ranker
    labelled = []
    if config.ranked_by in ("both", "ranker", "llm"):
        asked = asked_queries(parts.dataset, parts.rankings, listed, parts.config.candidates.n)
        labelled += label(asked, before, ranker, folder / "asked", depth=depth, ranked_by=config.ranked_by)
    sentences = sentences_as_queries(parts.dataset, before, config, parts.config.seed)
    asked_for = [config.pseudo_queries, config.pseudo_like_queries, depth, parts.config.seed]
    found = _kept(parts.workspace.path("found"), digest(candidates, asked_for))
    return labelled + label(sentences, before, free, folder / "pseudo", depth=depth, ranked_by="ranker", found=found)


def _on_cluster(parts: Parts, cluster: Cluster, listed: Mapping[str, NDArray[np.int64]]) -> list[LabelledQuery]:
    """The same, where the parts that are finished lie in the cluster's store."""
    config, ranker = parts.config.labels, parts.workspace.path("ranker")
    labelled = []
    if config.ranked_by in ("both", "ranker", "llm"):
        asked = asked_queries(parts.dataset, parts.rankings, listed, parts.config.candidates.n)
        labelled += cluster.label(asked, ranker, prior_alone=False, depth=config.depth, ranked_by=config.ranked_by)
    sentences = sentences_as_queries(parts.dataset, parts.before, config, parts.config.seed)
    prior_alone = config.pseudo_by == "prior"
    return labelled + cluster.label(sentences, ranker, prior_alone=prior_alone, depth=config.depth, ranked_by="ranker")


def _kept(folder: Path, name: str) -> Path:
    """A folder's only subfolder of that name: what was kept for other settings goes."""
    for other in folder.glob("*"):
        if other.name != name:
            shutil.rmtree(other)
    return folder / name
