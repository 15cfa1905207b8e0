"""The multi-vector retriever of a chain: chosen and saved, then its passages encoded, its hybrid with BM25 fitted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rankstill.hybrid import Hybrid, fit_hybrid
from rankstill.models import save_model
from rankstill.multi_vector.choosing import Choice, choose
from rankstill.multi_vector.idf import inverse_document_frequency
from rankstill.multi_vector.index import TokenIndex, encode_queries
from rankstill.multi_vector.model import has_token_vectors, multi_vector_encoder
from rankstill.workspace import write_atomically

if TYPE_CHECKING:
    from rankstill.parts import Parts
    from rankstill.ranker import RankedList


def make_multi_vector(parts: Parts, folder: Path) -> Sequence[str]:
    """Write the multi-vector retriever; of a model without token vectors, an empty folder in its place.

    Args:
        parts: of a chain that has rankings.
        folder: for `multi-vector/` and `multi-vector.json`.

    Returns:
        What a reader of the figures must know.
    """
    (folder / "multi-vector").mkdir(exist_ok=True)
    config, start = parts.config.multi_vector, parts.model_before
    if not has_token_vectors(start):
        write_atomically(folder / "multi-vector.json", "null\n")
        return [f"no multi-vector retriever: {parts.config.retriever.model} has no vectors of tokens"]
    idf = inverse_document_frequency(start, parts.dataset.corpus.texts())
    chosen = choose(start, parts.ranked_lists(parts.before), idf, config)
    model = multi_vector_encoder(start, idf**chosen.idf_power, chosen.context, config.pooling)
    save_model(model, folder / "multi-vector")
    write_atomically(folder / "multi-vector.json", json.dumps(asdict(chosen)) + "\n")
    return []


def read_choice(parts: Parts) -> Choice | None:
    """What the rankings chose; None where the model has no token vectors."""
    held = json.loads(parts.workspace.path("multi-vector.json").read_text(encoding="utf-8"))
    return Choice(**held) if held else None


def make_token_index(parts: Parts, folder: Path) -> None:
    """Write the token vectors of the corpus to `multi-vector-index/`; without a multi-vector retriever it is empty."""
    place = folder / "multi-vector-index"
    place.mkdir(exist_ok=True)
    if read_choice(parts) is not None:
        TokenIndex.encode(parts.multi_vector, parts.dataset.corpus.texts(), place, parts.config.multi_vector.bits)


def fit_multi_vector_hybrid(parts: Parts, lists: Sequence[RankedList]) -> Hybrid:
    """The weights of the multi-vector retriever and BM25.

    Args:
        parts: of a chain that has a multi-vector retriever.
        lists: the LLM's rankings, with the first stage's scores.
    """
    index, model = TokenIndex.load(parts.workspace.path("multi-vector-index")), parts.multi_vector
    asked = encode_queries(model, [each.query for each in lists])
    maxsim = list(index.scores_of(asked, parts.ranked_positions, str(model.device)))
    return fit_hybrid(lists, parts.config.candidates, maxsim)
