"""The commands' reference, from the command line's own declarations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_INTRO = """# Commands

<!-- made from rankstill.cli at every build -->

Made from the program itself: `rankstill COMMAND --help` says the same.

## The shared options

Every command on a workspace takes these. What a command lists itself under the same name takes their place.
"""
_SHARED = "the [shared options](#the-shared-options)"

Row = tuple[str, str]
"""An option's names and what it takes; what it does."""


def cli_page() -> str:
    """The page, as Markdown: the options that most commands share once, then every command with its own."""
    import typer

    from rankstill.cli import app

    commands = list(every_command(typer.main.get_command(app), ""))
    options = {name: _rows(command, name) for name, command in commands}
    shared = options["run"]  # which has none of its own
    parts = [_INTRO, _table(shared)]
    for name, command in commands:
        own, takes_shared = options[name], {_flags(row) for row in shared} <= {_flags(row) for row in options[name]}
        told = ""
        if takes_shared:
            own = [row for row in own if row not in shared]
            told = f"Takes {_SHARED}, and:" if own else f"Takes {_SHARED} alone."
        usage = _context(command, f"rankstill {name}").get_usage().removeprefix("Usage: ")
        about = " ".join((command.help or "").split())
        parts += [f"## {name}", about.replace("<", "&lt;"), f"```\n{usage}\n```", told, _table(own) if own else ""]
    return "\n\n".join(part for part in parts if part) + "\n"


def every_command(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Every command that does something, by the words that call it."""
    below = getattr(command, "commands", None)
    if below is None:
        yield name, command
        return
    for word, each in below.items():
        yield from every_command(each, f"{name} {word}".strip())


def _rows(command: Any, name: str) -> list[Row]:
    context = _context(command, name)
    return [row for option in command.params if (row := option.get_help_record(context))]


def _flags(row: Row) -> str:
    """An option's names alone, for a command may take an option of a shared name and mean another thing by it."""
    return row[0].partition(" <")[0]


def _context(command: Any, name: str) -> Any:
    return command.context_class(command, info_name=name)


def _table(rows: list[Row]) -> str:
    lines = ["| option | what it does |", "| --- | --- |"]
    lines += [f"| `{names}` | {_cell(about)} |" for names, about in rows]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
