"""Packages that only some users want, each behind an extra."""

from __future__ import annotations

import importlib
from typing import Any

from rankstill.errors import RankstillError


def required(module: str, extra: str) -> Any:
    """A module of an optional package; RankstillError if it is not installed."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise RankstillError(
            f'this needs the package {error.name}, which is not installed: pip install "rankstill[{extra}]"'
        ) from error
