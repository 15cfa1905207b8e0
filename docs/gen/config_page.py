"""The configuration's reference, from the options' own declarations."""

from __future__ import annotations

import types
from typing import Any, Literal, Union, get_args, get_origin

_INTRO = """# Configuration

<!-- made from rankstill.config at every build -->

Every option, made from the program itself. `rankstill init mine.yaml --full` writes the same as a file; without
`--full` it writes the dozen options that most people set.

In a file an option stands in its section; on the command line any option is `--set SECTION.OPTION=VALUE`. What is left
out has its default. An unknown option, or a value that cannot be, is an error before anything runs.
"""
_BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "multiple_of": "multiple of"}
_NAMES = {str: "text", int: "integer", float: "number", bool: "`true`, `false`", type(None): "`null`"}


def config_page() -> str:
    """The page, as Markdown: the options of no section first, then each section."""
    from rankstill.config import Config
    from rankstill.config.section import Section

    sections = {
        name: info.annotation
        for name, info in Config.model_fields.items()
        if isinstance(info.annotation, type) and issubclass(info.annotation, Section)
    }
    top = {name: info for name, info in Config.model_fields.items() if name not in sections}
    parts = [_INTRO, "## Of no section", _list(top)]
    for name, section in sections.items():
        about = " ".join((section.__doc__ or "").split())
        parts += [f"## {name}", about, _list(section.model_fields)]
    return "\n\n".join(parts) + "\n"


def _list(fields: dict[str, Any]) -> str:
    """A definition list, for a table of long meanings is unreadable on a phone."""
    return "\n\n".join(
        f"`{name}`\n:   {_text(info.description)}\n\n    *default {_default(info)}; may be {_may_be(info)}*"
        for name, info in fields.items()
    )


def _default(info: Any) -> str:
    import yaml

    if info.is_required():
        return "none, set it"
    value = info.get_default(call_default_factory=True)
    value = list(value) if isinstance(value, tuple) else value
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("\n").removesuffix("\n...")
    return f"`{text}`"


def _may_be(info: Any) -> str:
    bounds = [
        f"{sign} {getattr(rule, name):g}"
        for rule in info.metadata
        for name, sign in _BOUNDS.items()
        if getattr(rule, name, None) is not None
    ]
    return ", ".join([_kind(info.annotation), *bounds])


def _kind(annotation: Any) -> str:
    """A type in a reader's words."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin in (Union, types.UnionType):
        return ", ".join(_kind(each) for each in inner)
    if origin is tuple:
        return f"list of {_kind(inner[0])}"
    if origin is dict:
        return "mapping"
    return _NAMES.get(annotation, "a section")


def _text(told: str | None) -> str:
    """A description whose placeholders in angle brackets stay text."""
    return (told or "").replace("<", "&lt;")
