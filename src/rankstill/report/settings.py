"""Settings as rows, and the machine: what a reader needs to run the same again."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rankstill.config import Config, make_config, public_options, public_yaml


def flat(config: Config) -> dict[str, Any]:
    """Every public option by dotted path."""
    return dict(_flatten(public_options(config), ""))


def changed(config: Config) -> list[tuple[str, Any, Any]]:
    """Options that are not at their default: path, value, default."""
    plain = make_config({"dataset": {"source": config.dataset.source}, "preset": config.preset})
    defaults = flat(plain)
    return [
        (path, value, defaults.get(path))
        for path, value in flat(config).items()
        if path not in ("dataset.source", "preset") and value != defaults.get(path)
    ]


def as_yaml(config: Config) -> str:
    """Every public option, to be run again."""
    return public_yaml(config).rstrip()


def machine() -> str:
    """This machine, in a few words; not its name."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{_processor()}, {os.cpu_count()} cores, {memory:,.0f} GiB memory, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}"
    )


def _processor() -> str:
    told = Path("/proc/cpuinfo")
    if told.is_file():
        for each in told.read_text(encoding="utf-8", errors="replace").splitlines():
            if each.startswith("model name"):
                return each.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _flatten(tree: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _flatten(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value
