"""Configurations in and out: YAML, values by dotted path, presets, and the commented file of `rankstill init`."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rankstill.config.section import Section
from rankstill.config.sections import Config, DatasetConfig
from rankstill.errors import RankstillError

PAPER: dict[str, dict[str, Any]] = {
    "ranker": {"prior": False, "cross_encoder": True},
    "labels": {"ranked_by": "ranker", "pseudo_queries": 0, "pseudo_by": "ranker"},
    "retriever": {"epochs": 1, "in_batch": False},
    "head": {"width": 0, "token_dimensions": 0},
}
"""What `preset: paper` sets, by section: the paper's plain chain."""


def write_config(config: Config) -> str:
    """As YAML, every option with its value."""
    return yaml_of(config.model_dump(mode="json"))


def yaml_of(options: Mapping[str, Any]) -> str:
    """Options as YAML, in their order."""
    import yaml

    text: str = yaml.safe_dump(options, sort_keys=False, allow_unicode=True)
    return text


def read_config(path: str | Path, changes: Mapping[str, Any] | None = None) -> Config:
    """Read a YAML config.

    Args:
        path: of the file.
        changes: options to set over the file's, by dotted path, such as {"ranker.prior": False}.

    Raises:
        RankstillError: the file is missing or broken, or an option is unknown or has a value that it cannot have.
    """
    import yaml

    path = Path(path)
    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RankstillError(f"{path}: there is no such config. `rankstill init` writes one.") from None
    except OSError as error:
        raise RankstillError(f"{path}: cannot be read as a config ({error.strerror}).") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RankstillError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(read, dict):
        raise RankstillError(f"{path}: a config is a YAML mapping with a section a step. `rankstill init` writes one.")
    return make_config(read, changes, str(path))


def make_config(values: Mapping[str, Any], changes: Mapping[str, Any] | None = None, where: str = "config") -> Config:
    """Check values, with changes by dotted path, against what the options may be.

    Raises:
        RankstillError: an option is unknown or has a value that it cannot have.
    """
    tree: dict[str, Any] = copy.deepcopy(dict(values))
    for name, info in Config.model_fields.items():
        is_section = isinstance(info.annotation, type) and issubclass(info.annotation, Section)
        if is_section and tree.get(name, {}) is None:
            tree[name] = {}  # its options are all left out
    for dotted, value in (changes or {}).items():
        *sections, option = dotted.split(".")
        node: Any = tree
        for name in sections:
            node = node.setdefault(name, {}) if isinstance(node, dict) else None
        if isinstance(node, dict):
            node[option] = value
    if tree.get("preset") == "paper":
        for section, options in PAPER.items():
            if isinstance(own := tree.setdefault(section, {}), dict):
                tree[section] = {**options, **own}
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise RankstillError(
            f"{where}: {_first_mistake(error)}. `rankstill init` writes a config with every option."
        ) from None


def _first_mistake(error: ValidationError) -> str:
    # An option that does not exist comes first: what it was meant to be may be missing because of it.
    first = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    plainly = {"extra_forbidden": "no such option", "model_type": "a section, with its options below it"}
    told = plainly.get(first["type"], first["msg"].removeprefix("Value error, "))
    return ": ".join(filter(None, [".".join(str(part) for part in first["loc"]), told]))


def commented_config(source: str) -> str:
    """A YAML config with every option, its default and its meaning.

    Args:
        source: the dataset to name in it.
    """
    import yaml

    def scalar(value: Any) -> str:
        text: str = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000)
        return text.removesuffix("\n").removesuffix("\n...")

    defaults = Config(dataset=DatasetConfig(source=source)).model_dump(mode="json")
    lines = ["# Every option of Rankstill with its default. What you do not change you may leave out."]
    for name, info in Config.model_fields.items():
        value = defaults[name]
        if not isinstance(value, dict):
            lines += ["", f"# {info.description}", f"{name}: {scalar(value)}"]
            continue
        section = type(getattr(Config(dataset=DatasetConfig(source=source)), name))
        lines += ["", f"# {(section.__doc__ or '').strip()}", f"{name}:"]
        for option, about in section.model_fields.items():
            lines += [f"  # {about.description}", f"  {option}: {scalar(value[option])}"]
    return "\n".join(lines) + "\n"
