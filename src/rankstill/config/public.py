"""A configuration without private options, for reports and model cards, which may be shared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rankstill.config.files import yaml_of
from rankstill.config.sections import Config

_ASKED = ("endpoint", "api_key_env", "ledger")
_HIDDEN = (
    *(f"teacher.{option}" for option in _ASKED),
    *(f"rag.reader.{option}" for option in _ASKED),
    "judge.endpoint",
    "judge.api_key_env",
    "engine.address",
    "engine.store",
)
"""Private options: where LLMs are reached and paid, and on which machines a run works."""


def public_options(config: Config) -> dict[str, Any]:
    """The experiment's options by section, without the hidden ones, and the names of the hidden ones."""
    options: dict[str, Any] = config.model_dump(mode="json")
    for path in _HIDDEN:
        section, option = _section(options, path)
        section.pop(option, None)
    return options


def public_yaml(config: Config) -> str:
    """The same as YAML, to be run again; a comment names hidden options that were set, for null would mean another."""
    options = config.model_dump(mode="json")
    hidden = [path for path in _HIDDEN if (found := _section(options, path))[0].get(found[1]) is not None]
    note = f"# not shown: {', '.join(hidden)}; set yours\n" if hidden else ""
    return f"{note}{yaml_of(public_options(config))}"


def _section(options: Mapping[str, Any], path: str) -> tuple[dict[str, Any], str]:
    """The section that holds an option, empty where there is none, and the option's own name."""
    *above, option = path.split(".")
    section: Any = options
    for name in above:
        section = section.get(name) or {}
    return section, option
