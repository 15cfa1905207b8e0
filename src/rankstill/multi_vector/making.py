"""The multi-vector retrievers of a chain, untrained and trained, with their indexes and hybrids."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rankstill.compute.principal_axes import principal_axes
from rankstill.distributed.processes import is_rank_zero
from rankstill.models import load_multi_vector, save_model
from rankstill.multi_vector.choosing import choose, inverse_document_frequency
from rankstill.multi_vector.index import MeanMaxSim, TokenIndex
from rankstill.multi_vector.model import every_token, has_token_vectors, multi_vector_encoder, shortened, with_pooling
from rankstill.multi_vector.two_stage import make_two_stage
from rankstill.progress import say
from rankstill.retrieval.hybrid import fit_hybrid
from rankstill.retrieval.late_interaction import encode_queries, encoder_in_bfloat16
from rankstill.workspace import write_atomically

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

    from rankstill.components import Components
    from rankstill.reporting import Reports

_QUERIES_TO_MEASURE_WITH = 50
_PASSAGES_TO_TURN_BY = 1_000
_LEAST_RECALL = 0.95


def make_multi_vector(components: Components, folder: Path) -> Sequence[str]:
    """Write the multi-vector retriever, or an empty folder if the model has no token vectors.

    Args:
        components: the components of a chain that has rankings.
        folder: for `multi-vector/` and `multi-vector.json`.
    """
    (folder / "multi-vector").mkdir(exist_ok=True)
    config, start, chosen = components.config.multi_vector, components.model_before, None
    if config.model is not None:
        model = with_pooling(load_multi_vector(config.model, components.config.device), config.pooling)
    elif has_token_vectors(start):
        idf = inverse_document_frequency(start, components.dataset.corpus.texts())
        chosen = choose(start, components.lists.with_scores(components.before), idf, config)
        model = multi_vector_encoder(start, idf**chosen.idf_power, chosen.context, config.pooling)
    else:
        write_atomically(folder / "multi-vector.json", "null\n")
        return [f"no multi-vector retriever: {components.config.retriever.model} has no vectors of tokens"]
    if config.dimensions is not None:
        model = shortened(model, _axes(components, model)[: config.dimensions])
    save_model(model, folder / "multi-vector")
    write_atomically(folder / "multi-vector.json", json.dumps(chosen and asdict(chosen)) + "\n")
    return []


def _axes(components: Components, model: MultiVectorEncoder) -> NDArray[np.float32]:
    """The principal axes of some passages' token vectors. [dimensions, dimensions]"""
    corpus = components.dataset.corpus
    drawn = np.random.default_rng(components.config.seed).permutation(len(corpus))[:_PASSAGES_TO_TURN_BY]
    texts = list(corpus.texts(int(row) for row in drawn))
    with every_token(model), encoder_in_bfloat16(model):
        vectors = model.encode_document(texts, show_progress_bar=False, convert_to_numpy=True)
    return principal_axes(np.concatenate([np.asarray(each, dtype=np.float32) for each in vectors]))


def make_token_index(components: Components, folder: Path) -> None:
    """Write the token vectors of the corpus to `multi-vector-index/`; without a multi-vector retriever it is empty."""
    place = folder / "multi-vector-index"
    place.mkdir(exist_ok=True)
    if any(components.workspace.path("multi-vector").iterdir()):
        _encode(components, components.multi_vector, place)


def _encode(components: Components, model: MultiVectorEncoder, folder: Path) -> TokenIndex:
    """The corpus's token vectors, and what a search in two stages needs, measured with training queries."""
    index = TokenIndex.encode(model, components.dataset.corpus.texts(), folder, components.config.multi_vector.bits)
    queries = components.dataset.texts_of(components.dataset.train[:_QUERIES_TO_MEASURE_WITH])
    say(f"the index of token vectors takes {index.bytes_per_passage / 1000:.1f} kB a passage")
    say(make_two_stage(index, encode_queries(model, queries), _LEAST_RECALL, str(model.device)).describe())
    return index


def make_distilled(components: Components, folder: Path, reports: Reports) -> Sequence[str]:
    """Train the multi-vector retriever, if there is one, on the bi-encoder's data, and encode the corpus with it.

    Args:
        components: the components of a chain that has come as far as the step `reranker`.
        folder: for `multi-vector-distilled/`, its index, its hybrid, its training curve and what chose the blend.
    """
    # They load torch.
    from rankstill.multi_vector.student import MULTI_VECTOR
    from rankstill.retriever import Blend
    from rankstill.retriever.training import train_student
    from rankstill.retriever.training_data import read_training_data

    if not components.has_multi_vector:
        return []
    data = read_training_data(components)
    config, model = components.config.multi_vector, components.multi_vector
    changes = {"epochs": config.epochs, "learning_rate": config.learning_rate, "student_temperature": None}
    with every_token(model):
        taught = replace(data, config=data.config.model_copy(update=changes))
        train_student(model, MULTI_VECTOR, taught, folder, "multi-vector", reports)
    if not is_rank_zero():
        return []
    blend = Blend.load(folder / "multi-vector-blend.json")
    save_model(model, folder / "multi-vector-distilled")
    # The trainer leaves bfloat16 on in the model that it trained, in which passages cannot be pooled.
    model = load_multi_vector(str(folder / "multi-vector-distilled"), components.config.device)
    place, former = folder / "multi-vector-distilled-index", components.workspace.path("multi-vector-index")
    if blend is not None and not blend.share:
        shutil.copytree(former, place, dirs_exist_ok=True)  # the same model has the same vectors
    index = _encode(components, model, place)
    vectors = components.workspace.path("vectors-after")
    first_stage = components.first_stage_after(vectors, components.model_after).with_late(MeanMaxSim(model, index))
    rankings = components.lists.for_hybrid_weights(components.retriever_blend, blend)
    hybrid = fit_hybrid(components.lists.with_scores(first_stage, rankings), components.config.candidates, late=True)
    hybrid.save(folder / "hybrid-multi-vector-distilled.json")
    return [f"multi-vector: {blend.describe()}"] if blend else []
