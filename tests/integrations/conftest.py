"""Small distilled retrievers, put where the page's programs look for theirs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from integrations_page import PASSAGES, QUERY, Distilled, close


@pytest.fixture(params=["prompts", "none"])
def distilled(
    request: pytest.FixtureRequest, tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Distilled:
    """At `my-workspace/retriever` of the current folder: with prompts for queries and passages, or without."""
    from sentence_transformers import SentenceTransformer

    from rankstill.models import save_model

    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "my-workspace" / "retriever"
    model = SentenceTransformer(str(tiny_model_folder), device="cpu")
    if request.param == "prompts":
        model.prompts = {"query": "ask: ", "document": "read: "}
    save_model(model, folder)
    loaded = SentenceTransformer(str(folder), device="cpu")
    made = Distilled(
        folder=folder,
        query=loaded.encode_query(QUERY),
        passages=loaded.encode_document(PASSAGES),
        query_untold=loaded.encode(QUERY),
    )
    # Or no test below could tell one route from the other.
    assert close(made.query_untold, made.query) == (request.param == "none")
    return made
