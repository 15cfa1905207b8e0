"""Packages that only some users want, each behind an extra."""

from __future__ import annotations

import importlib
from typing import Any

from rankstill.errors import RankstillError


def required(module: str, extra: str, what: str = "this", kind: type[RankstillError] = RankstillError) -> Any:
    """A module of an optional package.

    Args:
        extra: of this package, which brings it.
        what: needs it, for the message.

    Raises:
        RankstillError: it cannot be imported; an error of this `kind`.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        why = "is not installed" if isinstance(error, ModuleNotFoundError) else f"cannot be imported ({error})"
        name = error.name or module
        raise kind(f'{what} needs the package {name}, which {why}: pip install "rankstill[{extra}]"') from error
