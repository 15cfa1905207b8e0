"""The multi-vector retriever of a chain: chosen, saved, its passages encoded, its hybrid with BM25 fitted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rankstill.hybrid import fit_hybrid
from rankstill.models import save_model
from rankstill.multi_vector.choosing import choose
from rankstill.multi_vector.idf import inverse_document_frequency
from rankstill.multi_vector.index import TokenIndex, encode_queries
from rankstill.multi_vector.model import has_token_vectors, multi_vector_encoder
from rankstill.multi_vector.two_stage import make_two_stage
from rankstill.progress import say
from rankstill.workspace import write_atomically

if TYPE_CHECKING:
    from rankstill.parts import Parts

_QUERIES_TO_MEASURE_WITH = 50
_LEAST_RECALL = 0.95


def make_multi_vector(parts: Parts, folder: Path) -> Sequence[str]:
    """Write the multi-vector retriever, its index and its hybrid; without token vectors, empty folders in their place.

    Args:
        parts: of a chain that has rankings.
        folder: for `multi-vector/`, `multi-vector-index/`, `multi-vector.json` and `hybrid-multi-vector.json`.

    Returns:
        What a reader of the figures must know.
    """
    for name in ("multi-vector", "multi-vector-index"):
        (folder / name).mkdir(exist_ok=True)
    config, start, passages = parts.config.multi_vector, parts.model_before, parts.dataset.corpus.texts()
    if not has_token_vectors(start):
        for name in ("multi-vector.json", "hybrid-multi-vector.json"):
            write_atomically(folder / name, "null\n")
        return [f"no multi-vector retriever: {parts.config.retriever.model} has no vectors of tokens"]
    idf = inverse_document_frequency(start, passages)
    lists = parts.ranked_lists(parts.before)
    chosen = choose(start, lists, idf, config)
    model = multi_vector_encoder(start, idf**chosen.idf_power, chosen.context, config.pooling)
    save_model(model, folder / "multi-vector")
    write_atomically(folder / "multi-vector.json", json.dumps(asdict(chosen)) + "\n")
    index = TokenIndex.encode(model, passages, folder / "multi-vector-index", config.bits)
    asked, device = encode_queries(model, [each.query for each in lists]), str(model.device)
    say(make_two_stage(index, asked[:_QUERIES_TO_MEASURE_WITH], _LEAST_RECALL, device).describe())
    maxsim = list(index.scores_of(asked, parts.ranked_positions, device))
    fit_hybrid(lists, parts.config.candidates, maxsim).save(folder / "hybrid-multi-vector.json")
    return []
