"""What a chain's retriever and its multi-vector retriever learn from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rankstill.labels import read_labels
from rankstill.losses.choice import query_loss
from rankstill.retriever.training import TrainingData

if TYPE_CHECKING:
    from rankstill.components import Components


def read_training_data(components: Components) -> TrainingData:
    """The training data of a student: labels, and the validation rankings."""
    choosing = {each.query_id for each in components.lists.validation}
    labels = read_labels(components.workspace.path("labels.parquet"))
    return TrainingData(
        [query for query in labels if query.id not in choosing],
        components.dataset.corpus,
        components.config.retriever,
        components.config.seed,
        query_loss(components.config),
        components.lists.validation_texts(),
    )
