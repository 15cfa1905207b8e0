"""A run's systems at work: a page that shows before and after side by side, or others, and a small HTTP API.

Needs the extra `serve` (FastAPI and uvicorn), which is loaded on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rankstill.serve.app import create_app
    from rankstill.serve.server import run_server
    from rankstill.serve.votes import write_votes_dataset

_PLACES = {"create_app": "app", "run_server": "server", "write_votes_dataset": "votes"}

__all__ = ["create_app", "run_server", "write_votes_dataset"]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
