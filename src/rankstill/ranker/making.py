"""The rankers of a chain: the one that labels, and the one that reranks the distilled retriever's results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rankstill.distributed.processes import note_world_size
from rankstill.models import RANKS_ALREADY
from rankstill.ranker.model import Ranker
from rankstill.ranker.training import refit_prior, train_ranker
from rankstill.retrieval import PassageScorer
from rankstill.retrieval.hybrid import fit_hybrid

if TYPE_CHECKING:
    from rankstill.components import Components
    from rankstill.reporting import Reports


def make_ranker(components: Components, folder: Path, reports: Reports) -> Sequence[str]:
    """Train the ranker on the LLM's rankings.

    Args:
        components: the components of a chain that has rankings.
        folder: for `ranker/` and its training curve.
    """
    config, start = components.config.ranker, components.cross_encoder_start
    lists = components.lists.with_scores(components.with_late(components.before))
    seed, device = components.config.seed, components.config.device
    ranker = train_ranker(lists, config, start, folder, seed=seed, device=device, reports=reports)
    ranker.first_stage = PassageScorer(
        components.model_before, components.before.bm25.statistics, late=components.late_model
    )
    ranker.save(folder / "ranker")
    return _notes(components, has_cross_encoder=ranker.cross_encoder is not None)


def _notes(components: Components, *, has_cross_encoder: bool) -> list[str]:
    config, start = components.config.ranker, components.cross_encoder_start
    if not config.cross_encoder:
        return []
    notes = list(note_world_size(config.lists_per_step, "ranker") if start else ())
    if start and not has_cross_encoder:
        notes = [f"the ranker has no cross-encoder: {start} adds nothing to the prior on the LLM's rankings"]
    if config.model or start == RANKS_ALREADY:
        return notes
    instead = "the cross-encoder started from the retriever" if start else "the ranker has no cross-encoder"
    missing = f"{RANKS_ALREADY} could not be downloaded from the Hugging Face hub"
    return [*notes, f"{instead}: {missing}. Set ranker.model to another model or a folder"]


def make_reranker(components: Components, folder: Path, *, has_ranker: bool) -> None:
    """Encode the corpus by the distilled retriever, and refit the ranker's prior to its cosine.

    Args:
        components: the components of a chain that has a distilled retriever.
        folder: for `vectors-after/`, `reranker/` and `hybrid-distilled.json`.
        has_ranker: whether the chain has a ranker; without one, only the vectors are written.
    """
    model = components.model_after
    components.encode_corpus_after(model, folder / "vectors-after")
    if not has_ranker:
        return
    first_stage = components.with_late(components.first_stage_after(folder / "vectors-after", model))
    lists = components.lists.with_scores(first_stage, components.lists.for_hybrid_weights(components.retriever_blend))
    reranker = refit_prior(Ranker.load(components.workspace.path("ranker"), components.config.device), lists)
    reranker.first_stage = PassageScorer(model, first_stage.bm25.statistics, late=components.late_model)
    reranker.save(folder / "reranker")
    fit_hybrid(lists, components.config.candidates).save(folder / "hybrid-distilled.json")
