"""Who labels the training queries: a ranker, or a baseline in its place, and which steps a baseline does without."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rankstill.config import Config
from rankstill.data import Dataset
from rankstill.labels import LabelledQuery, asked_queries
from rankstill.labels.gold import first_choice_labels, gold_labels
from rankstill.labels.local_lm import find_local_lm, lm_identity, load_local_lm
from rankstill.labels.rows import order_labels
from rankstill.labels.white_box import label_by_lm, queries_to_read
from rankstill.workspace import digest

if TYPE_CHECKING:
    from rankstill.components import Components

_LATE = {"multi_vector", "token_index", "multi_vector_distilled"}
_BY_RANKER = {"hybrid", "ranker"}
"""What a baseline's comparison is without: it has no ranker to label with, nor a hybrid beside it."""


def needs_ranker(config: Config, dataset: Dataset) -> bool:
    """Whether a ranker labels any query: else none is trained, and nothing is reranked."""
    labels = config.labels
    return labels.ranked_by in ("both", "ranker") or (labels.ranked_by == "llm" and bool(dataset.extra))


def unneeded_steps(config: Config, dataset: Dataset) -> set[str]:
    """Steps of the chain that this configuration does without: the ranker, the LLM's rankings, what is made of them."""
    if needs_ranker(config, dataset):
        if not config.multi_vector.make:
            return _LATE
        return set() if config.multi_vector.epochs else {"multi_vector_distilled"}
    if config.labels.ranked_by in ("llm", "first-choice"):
        return _LATE | _BY_RANKER
    return _LATE | _BY_RANKER | {"rankings", "held_out", "agreement"}


def check_white_box(config: Config, dataset: Dataset) -> None:
    """Whether a white-box method can be run, if one is configured: a mistake shows before minutes of encoding.

    Raises:
        DataError: no query that may teach has an accepted answer.
        ModelError: there is no such language model, or a package is missing.
    """
    if config.labels.white_box:
        queries_to_read(dataset, config.white_box.queries, config.seed)
        find_local_lm(config.white_box.model)


def white_box_identity(config: Config) -> list[Any]:
    """Whatever white-box labels depend on beside their method: nothing if there are none."""
    if config.labels.white_box is None:
        return []
    return [config.white_box.model_dump(mode="json", exclude={"model"}), lm_identity(config.white_box.model)]


def label_without_ranker(
    components: Components, found: Mapping[str, NDArray[np.int64]], candidates: str
) -> list[LabelledQuery]:
    """Labels of the training queries where none of them comes from a ranker; no label where one labels them.

    What is read from a language model is kept in the workspace under `signals/`, for whatever method asks for it next.

    Args:
        found: positions of each query's candidates, best first, by query id.
    """
    config, dataset, n = components.config, components.lists.teaching_set, components.config.candidates.n
    ranked_by, white_box = config.labels.ranked_by, config.white_box
    if ranked_by == "gold":
        return gold_labels(dataset.train, found, dataset, n)
    if ranked_by == "first-choice":
        return first_choice_labels(components.lists.training, found, dataset, n)
    if ranked_by == "llm" and not needs_ranker(config, dataset):
        return order_labels(asked_queries(dataset, components.lists.training, found, n), dataset)
    if (method := config.labels.white_box) is None:
        return []
    read = digest(lm_identity(white_box.model), white_box.passages, white_box.passage_tokens, candidates)
    return label_by_lm(
        lambda: load_local_lm(white_box.model, config.device, white_box.passage_tokens),
        method,
        queries_to_read(dataset, white_box.queries, config.seed),
        found,
        dataset,
        components.workspace.path("signals") / read,
        passages=white_box.passages,
    )
