"""Labels by the ranker: of the queries that the LLM ranked, and of unlabelled ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rankstill.labels.labelling import RankedBy, Unlabelled, label
from rankstill.labels.queries import asked_queries
from rankstill.labels.table import LabelledQuery

if TYPE_CHECKING:
    from rankstill.parts import Parts


def label_by_ranker(parts: Parts, listed: Mapping[str, NDArray[np.int64]], folder: Path) -> Iterator[LabelledQuery]:
    """Whatever a chain has for its ranker to label; where a baseline labels the training queries, these are left out.

    Args:
        parts: of a chain whose ranker is trained.
        listed: positions of each query's candidates, best first, by query id.
        folder: for what is finished of it, to go on from after a kill; on a cluster that lies in the cluster's store.
    """
    from rankstill.ranker import Ranker

    config, dataset = parts.config.labels, parts.teaching_set
    asked: list[Unlabelled] = []
    ranked_by: RankedBy = "ranker"
    if config.ranked_by in ("both", "ranker", "llm"):
        ranked_by = config.ranked_by
        asked = asked_queries(dataset, parts.rankings, listed, parts.config.candidates.n)
    ranker, first_stage = parts.workspace.path("ranker"), parts.with_late(parts.before)
    if parts.cluster is not None:
        yield from parts.cluster.label(asked, ranker, depth=config.depth, ranked_by=ranked_by, late=first_stage.late)
        return
    loaded = Ranker.load(ranker, parts.config.device)
    yield from label(asked, first_stage, loaded, folder / "asked", depth=config.depth, ranked_by=ranked_by)
