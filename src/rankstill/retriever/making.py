"""The distilled retriever of a chain."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rankstill.distributed.processes import note_world_size
from rankstill.models import save_model
from rankstill.retriever.blending import Blend
from rankstill.retriever.training import train_retriever
from rankstill.retriever.training_data import read_training_data

if TYPE_CHECKING:
    from rankstill.components import Components
    from rankstill.reporting import Reports


def make_retriever(components: Components, folder: Path, reports: Reports) -> Sequence[str]:
    """Train the retriever on the labels.

    Args:
        components: the components of a chain that has labels.
        folder: for `retriever/`, its training curve and what chose the blend.
    """
    model = train_retriever(read_training_data(components), folder, components.config.device, reports)
    save_model(model, folder / "retriever")
    blend = Blend.load(folder / "retriever-blend.json")
    notes = note_world_size(components.config.retriever.lists_per_step, "retriever")
    return [*notes, *([blend.describe()] if blend else [])]
