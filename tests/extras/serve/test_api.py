from __future__ import annotations

import base64
import html
import re
import shlex
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
from loopback import Served

QUERY = "how does magma of the volcano change"


@pytest.fixture
def client(server: Served) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def test_openais_own_client_gets_the_retrievers_vectors(server: Served, client: openai.OpenAI) -> None:
    texts = ["magma rises in the crater", "the tulip of the garden"]
    made = client.embeddings.create(input=texts, model="any")  # asks for base64 by itself
    expected = server.opened.after.model.encode_document(texts, normalize_embeddings=True)
    np.testing.assert_allclose([each.embedding for each in made.data], expected, atol=1e-5)
    assert [each.index for each in made.data] == [0, 1]
    assert made.usage.prompt_tokens == sum(server.opened.after.count_tokens(texts))


def test_openais_own_client_finds_the_one_model(server: Served, client: openai.OpenAI) -> None:
    (model,) = client.models.list().data
    assert (model.id, model.object) == (server.folder.name, "model")
    assert client.models.retrieve(model.id) == model
    with pytest.raises(openai.NotFoundError, match=f"The one model here is {model.id}"):
        client.models.retrieve("another")


def test_dimensions_that_the_vectors_do_not_have_are_refused(server: Served, client: openai.OpenAI) -> None:
    own = server.opened.after.passages.shape[1]
    made = client.embeddings.create(input="magma", model="any", dimensions=own)
    assert len(made.data[0].embedding) == own
    refused = f"vectors have {own}, and this server offers no other number"
    with pytest.raises(openai.UnprocessableEntityError, match=refused):
        client.embeddings.create(input="magma", model="any", dimensions=own - 1)


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_docs_page_tells_every_path_and_its_examples_work(server: Served) -> None:
    page = server.ask("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert not re.search(r"""(src|href)=["'](https?:)?//|<script""", page.body)
    text = html.unescape(page.body)
    document = server.ask("/openapi.json").body
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert f"{method.upper()} {path}" in text
            assert operation["description"] in text
    for schema in ("SearchRequest", "RerankRequest", "EmbeddingsRequest", "VoteRequest", "MarkRequest", "Passage"):
        for name in document["components"]["schemas"][schema]["properties"]:
            assert name in text
    examples = re.findall(r">(curl .*)</pre>", text)
    assert len(examples) >= 8
    labels = re.findall(r'aria-label="(.*?)"', text)
    assert len(labels) == len(set(labels))
    for command in examples:
        marked = command.replace('"p1"', f'"{server.opened.dataset.corpus.ids[0]}"')
        run = subprocess.run([*shlex.split(marked), "--silent", "--fail-with-body"], capture_output=True, check=False)
        assert run.returncode == 0, (command, run.stdout)


def test_floats_and_base64_are_the_same_vector(server: Served) -> None:
    bodies = [{"input": QUERY, "encoding_format": form, "input_type": "query"} for form in ("float", "base64")]
    floats, packed = (server.ask("/embed", body).body["data"][0]["embedding"] for body in bodies)
    np.testing.assert_array_equal(np.float32(floats), np.frombuffer(base64.b64decode(packed), "<f4"))


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_every_request_that_the_guide_shows_is_answered(server: Served) -> None:
    shown = "\n".join(shown_in_the_guide(server, "bash"))
    for command in re.findall(r"^curl .*?'$", shown, flags=re.MULTILINE | re.DOTALL):
        run = subprocess.run([*shlex.split(command), "--silent", "--fail-with-body"], capture_output=True, check=False)
        assert run.returncode == 0, run.stdout


def test_the_guides_openai_client_gets_a_querys_vector_for_a_query(server: Served) -> None:
    made: dict[str, Any] = {}
    (example,) = [block for block in shown_in_the_guide(server, "py") if "OpenAI(" in block]
    exec(example, made)
    encode = server.opened.after.model.encode_query
    expected = encode("how long may I keep it", normalize_embeddings=True)
    np.testing.assert_allclose(made["query"].data[0].embedding, expected, atol=1e-5)


def shown_in_the_guide(server: Served, language: str) -> list[str]:
    """Its examples in a language, with this server's address."""
    text = (Path(__file__).parents[3] / "docs" / "guides" / "deploy.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text.replace("http://127.0.0.1:8080", server.url), flags=re.DOTALL)


@pytest.mark.parametrize("tokens", [[1, 2, 3], [[1, 2], [3]]])
def test_token_arrays_are_refused_with_what_to_do(client: openai.OpenAI, tokens: Any) -> None:
    with pytest.raises(openai.UnprocessableEntityError, match=r"token arrays are not taken.*send texts"):
        client.embeddings.create(input=tokens, model="any")


def test_search_finds_what_exact_cosine_finds_and_tells_ranks_in_both_lists(server: Served) -> None:
    found = server.search(QUERY, k=5)
    for name in ("before", "after"):
        system = getattr(server.opened, name)
        cosines = system.passages @ system.model.encode_query(QUERY, normalize_embeddings=True)
        order = [server.opened.dataset.corpus.ids[row] for row in np.argsort(-cosines)]
        assert [passage["id"] for passage in found[name]] == order[:5]
        np.testing.assert_allclose([passage["score"] for passage in found[name]], -np.sort(-cosines)[:5], atol=1e-5)
        for passage in [*found["before"], *found["after"]]:
            assert passage["ranks"][name] == order.index(passage["id"]) + 1


def test_a_query_of_the_dataset_is_known_and_its_gold_passage_marked(server: Served) -> None:
    query = server.opened.dataset.queries[server.opened.dataset.test[0]]
    found = server.search(query.text, k=60)
    assert found["query_id"] == query.id
    (gold,) = [passage["id"] for passage in found["after"] if passage["relevant"]]
    assert gold == query.id.removeprefix("q-") == found["gold"][0]["id"]
    assert query.text in [example["text"] for example in server.ask("/about").body["examples"]]
    assert server.search("something else")["query_id"] is None


def test_rerank_puts_the_passage_that_answers_first(server: Served) -> None:
    corpus = server.opened.dataset.corpus
    documents = [corpus.text(corpus.position(each)) for each in ("garden-0", "bakery-1", "volcano-0", "library-2")]
    answer = server.ask("/rerank", {"query": QUERY, "documents": documents, "top_n": 2}).body
    best, _ = answer["results"]
    assert best["index"] == 2


def test_requests_at_once_share_forward_passes_and_get_the_same_vectors(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"the {word} of the harbour, number {number}" for number, word in enumerate(["tide", "crane", "buoy"] * 8)]
    passes = []
    encoder = server.opened.after.model[0]
    forward = encoder.forward
    monkeypatch.setattr(encoder, "forward", lambda *given, **named: passes.append(1) or forward(*given, **named))

    def embed(text: str) -> Any:
        return server.ask("/embed", {"input": text}).body["data"][0]["embedding"]

    alone = [embed(text) for text in texts]
    assert len(passes) == len(texts)
    passes.clear()
    with ThreadPoolExecutor(len(texts)) as pool:
        together = list(pool.map(embed, texts))
    assert len(passes) < len(texts) / 2
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_health_tells_when_a_run_has_replaced_what_is_served(built_copy: Path) -> None:

    from rankstill.workspace import Workspace

    with Served(built_copy) as served:
        assert served.ask("/health").body == {"status": "ok", "workspace": "w", "waiting": 0, "changed": False}
        old = served.search(QUERY)
        with Workspace(built_copy) as workspace:  # the server does not hold the lock
            workspace.step("reranker", _other_vectors, outputs=("vectors-after", "reranker"), settings=["another"])
        assert served.ask("/health").body["changed"] is True
        answer = served.ask("/search", {"query": QUERY, "systems": ["ranker"]})  # it was not loaded yet
        assert "a run has replaced what is served" in answer.body["error"]["message"]
        assert served.search(QUERY)["after"] == old["after"]


def _other_vectors(making: Path) -> None:
    (making / "vectors-after").mkdir()
    np.save(making / "vectors-after" / "passages.npy", np.zeros((60, 32), dtype=np.float32))
    (making / "reranker").mkdir()
