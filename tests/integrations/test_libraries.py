"""The retriever's folder in other libraries: the page's programs give the vectors of the right route."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

import pytest
from integrations_page import PASSAGES, QUERY, Distilled, close, need, run_snippet


def test_sentence_transformers(distilled: Distilled) -> None:
    names = run_snippet("sentence-transformers")
    assert names["passages"] == PASSAGES
    assert close(names["vectors"], distilled.passages)
    assert close(names["query"], distilled.query)


@pytest.mark.slow
def test_langchain(distilled: Distilled) -> None:
    need("langchain_huggingface", install="langchain-huggingface")
    names = run_snippet("LangChain")
    assert close(names["embeddings"].embed_query(QUERY), distilled.query)
    assert close(names["embeddings"].embed_documents(PASSAGES), distilled.passages)
    assert [document.page_content for document in names["found"]] == distilled.best_first


@pytest.mark.slow
def test_langchain_that_is_told_nothing_takes_a_query_for_a_passage(distilled: Distilled) -> None:
    need("langchain_huggingface", install="langchain-huggingface")
    from langchain_huggingface import HuggingFaceEmbeddings

    untold = HuggingFaceEmbeddings(model_name=str(distilled.folder))
    assert close(untold.embed_query(QUERY), distilled.query_untold)


@pytest.mark.slow
def test_llama_index(distilled: Distilled) -> None:
    need("llama_index.core", install="llama-index-core")
    names = run_snippet("LlamaIndex")
    model = names["embed_model"]
    assert close(model.get_query_embedding(QUERY), distilled.query)
    assert close(asyncio.run(model.aget_query_embedding(QUERY)), distilled.query)
    assert close(model.get_text_embedding(PASSAGES[0]), distilled.passages[0])
    assert close(model.get_text_embedding_batch(PASSAGES), distilled.passages)
    assert [node.text for node in names["found"]] == distilled.best_first


@pytest.mark.slow
def test_llama_indexs_own_class_loads_the_folder_and_takes_a_query_for_a_passage(distilled: Distilled) -> None:
    need("llama_index.embeddings.huggingface", install="llama-index-embeddings-huggingface")
    from llama_index.embeddings.huggingface import HuggingFaceEmbedding

    model = HuggingFaceEmbedding(model_name=str(distilled.folder), device="cpu")
    assert close(model.get_query_embedding(QUERY), distilled.query_untold)


@pytest.fixture
def haystack(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Haystack's embedders, which report no usage and have loaded no model."""
    monkeypatch.setenv("HAYSTACK_TELEMETRY_ENABLED", "False")  # read at the import
    embedders = "haystack_integrations.components.embedders.sentence_transformers"
    need(embedders, install="haystack-ai sentence-transformers-haystack")
    loaded = importlib.import_module(f"{embedders}.embedding_backend.backend")
    # It keeps what it has loaded by path, and each test has another retriever at the same one.
    monkeypatch.setattr(loaded._SentenceTransformersEmbeddingBackendFactory, "_instances", {})
    return importlib.import_module(embedders)


@pytest.mark.slow
def test_haystack(distilled: Distilled, haystack: Any) -> None:
    names = run_snippet("Haystack")
    assert close(names["query"], distilled.query)
    embedded = names["document_embedder"].run(names["documents"])["documents"]
    assert close([document.embedding for document in embedded], distilled.passages)
    assert [document.content for document in names["found"]] == distilled.best_first


@pytest.mark.slow
def test_haystack_that_is_told_nothing_takes_a_query_for_a_passage(distilled: Distilled, haystack: Any) -> None:
    untold = haystack.SentenceTransformersTextEmbedder(model=str(distilled.folder))
    assert close(untold.run(QUERY)["embedding"], distilled.query_untold)
