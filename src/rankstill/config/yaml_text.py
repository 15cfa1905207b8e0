"""YAML text whose mappings name nothing twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rankstill.errors import RankstillError

_SHOWN = 10


def read_yaml(content: str | bytes, where: str, unreadable: str | None = None) -> Any:
    """The value that YAML text holds.

    Args:
        content: text, or a file's bytes: UTF-8, or UTF-16 with its byte order mark.
        where: the file or flag, for messages.
        unreadable: what to say of text that is no YAML; None: what the parser says.

    Raises:
        RankstillError: it is no YAML, or a mapping gives one name twice, of which YAML would keep only the last one.
    """
    import yaml

    try:
        repeated = list(_repeated(yaml.compose(content, Loader=yaml.SafeLoader), "", set()))
        read = yaml.safe_load(content)
    # A ValueError is a date that no calendar has; a RecursionError, brackets in brackets without an end.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        told = unreadable or f"not readable as YAML: {' '.join(str(error).split())}"
        raise RankstillError(f"{where}: {told}") from None
    if repeated:
        more = f"; and {len(repeated) - _SHOWN:,} more" if len(repeated) > _SHOWN else ""
        raise RankstillError(
            f"{where}: {'; '.join(repeated[:_SHOWN])}{more}. YAML would keep only the last one. Put a section's "
            "options under one heading, each once."
        )
    return read


def scalar(value: Any) -> str:
    """A value as YAML on one line, as it stands after an option's name."""
    import yaml

    text: str = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000)
    return text.removesuffix("\n").removesuffix("\n...")


def _repeated(node: Any, path: str, visited: set[int]) -> Iterator[str]:
    """What is set twice below a node, whose dotted path is `path`, in words."""
    import yaml

    if id(node) in visited:  # an alias, which may stand inside its own anchor
        return
    visited.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for each in node.value:
            yield from _repeated(each, path, visited)
    elif isinstance(node, yaml.MappingNode):
        lines: dict[tuple[str, str], int] = {}
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            first = lines.get((key.tag, name))
            if first is not None:
                yield f"{path}{name} is set twice, on line{f's {first} and' if first != line else ''} {line}"
            lines[key.tag, name] = line
            yield from _repeated(value, f"{path}{name}.", visited)
