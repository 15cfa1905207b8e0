"""Onto the Hugging Face Hub: a retriever, or what was exported of one."""

from __future__ import annotations

import os
from pathlib import Path

from rankstill.errors import ModelError, RankstillError
from rankstill.extras.export import standalone
from rankstill.progress import say

_READ_AS_DATA = {".json", ".jsonl", ".md", ".txt", ".safetensors", ".onnx", ".xml", ".model"}
"""Files that whoever loads them only reads. Pickled weights (.bin, .pt, .pkl, ...) can run code."""
_MARKERS = ("modules.json", "retriever.json")


def push(folder: Path, repo: str, *, private: bool = True) -> str:
    """Upload a folder as one commit of a model repository, which is made if it is not there.

    The server is HF_ENDPOINT, or else huggingface.co; the token is read from HF_TOKEN alone.

    Args:
        folder: a sentence-transformers folder, or what `export_retriever` wrote.
        repo: "owner/name".
        private: whether a repository that is made now can be seen by its owner alone.

    Raises:
        ModelError: the folder holds no retriever, or a file that could run code when it is loaded.
        RankstillError: there is no token, or the server refused.
    """
    files = _checked(folder)
    token = os.environ.get("HF_TOKEN", "").strip()
    if not token:
        raise RankstillError("the Hub needs a token with write access. Set it: export HF_TOKEN=...")
    from huggingface_hub import HfApi

    size = sum(path.stat().st_size for path in files) / 1e6
    say(f"pushing {len(files)} files, {size:,.0f} MB, to {repo}")
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None, token=token)
    try:
        api.create_repo(repo, private=private, exist_ok=True)
        done = api.upload_folder(
            repo_id=repo,
            folder_path=folder,
            allow_patterns=[path.relative_to(folder).as_posix() for path in files],
            commit_message="Retriever by Rankstill",
        )
    except Exception as error:  # refused, offline or cut off: errors of whatever the hub's client is built on
        reason = str(error).strip().partition("\n")[0].replace(token, "...")
        raise RankstillError(
            f"{repo}: the Hub refused it ({reason}). Check the name, HF_TOKEN's permissions, the network and "
            "HF_HUB_OFFLINE."
        ) from error
    return str(done.commit_url)


def _checked(folder: Path) -> list[Path]:
    """The folder's files, if all of them are safe to load."""
    if not any((folder / marker).is_file() for marker in _MARKERS):
        raise ModelError(f"{folder}: no {' or '.join(_MARKERS)} in it. Give a retriever's folder, or an export's.")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in files:
        if not _is_data(path):
            raise ModelError(
                f"{path}: not a file of a retriever, and only safetensors weights are pushed. Move it elsewhere."
            )
    return files


def _is_data(path: Path) -> bool:
    if path.suffix == ".bin":  # OpenVINO's raw weights, not PyTorch's pickled ones
        return path.with_suffix(".xml").is_file()
    if path.name == "retriever.py":  # the reader beside an export, if it is the one that was put there
        return path.read_bytes() == Path(standalone.__file__).read_bytes()
    return path.suffix in _READ_AS_DATA
