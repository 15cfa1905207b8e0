"""Labels by the ranker: of the queries that the LLM ranked, of unlabelled ones, and of sentences as queries."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rankstill.labels.labelling import label
from rankstill.labels.queries import asked_queries, sentences_as_queries
from rankstill.labels.table import LabelledQuery

if TYPE_CHECKING:
    from rankstill.parts import Parts


def label_by_ranker(parts: Parts, found: Mapping[str, NDArray[np.int64]], folder: Path) -> list[LabelledQuery]:
    """Whatever a chain has for its ranker to label; where a baseline labels the training queries, these are left out.

    Args:
        parts: of a chain whose ranker is trained.
        found: positions of each query's candidates, best first, by query id.
        folder: for what is finished of it, to go on from after a kill.
    """
    from rankstill.ranker import Ranker

    config, before, depth = parts.config.labels, parts.before, parts.config.labels.depth
    ranker = Ranker.load(parts.workspace.path("ranker"), parts.config.device)
    free = ranker.prior_alone() if config.pseudo_by == "prior" else ranker
    labelled = []
    if config.ranked_by in ("both", "ranker", "llm"):
        asked = asked_queries(parts.dataset, parts.rankings, found, parts.config.candidates.n)
        labelled += label(asked, before, ranker, folder / "asked", depth=depth, ranked_by=config.ranked_by)
    sentences = sentences_as_queries(parts.dataset, before, config, parts.config.seed)
    return labelled + label(sentences, before, free, folder / "pseudo", depth=depth, ranked_by="ranker")
