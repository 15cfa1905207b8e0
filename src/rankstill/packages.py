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
        needed = f"{what} needs the package {error.name or module}"
        if isinstance(error, ModuleNotFoundError):
            raise kind(f'{needed}, which is not installed: pip install "rankstill[{extra}]"') from error
        raise kind(f'{needed}, which cannot be imported ({error}): pip install "rankstill[{extra}]"') from error
