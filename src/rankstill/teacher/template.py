"""Prompt templates: versioned Jinja2 files, Rankstill's own or a user's, checked before anything is asked with them.

A template holds two blocks, `system` (may be left out) and `user`, each the text of one chat message. One that ranks is
given `query`, `passages` (each with its `identifier`, such as [3] or [C], and its `text`) and `structured` (true where
the answer is to be JSON). One that asks for a query is given `passage` and `examples` (queries; perhaps none).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from rankstill.errors import RankstillError

_OWN = Path(__file__).parent / "templates"
_BLOCKS = ("system", "user")
_TO_RANK = ("query", "passages", "structured")
_TO_WRITE = ("passage", "examples")

_SANDBOX = ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
# The same ask must render to the same call each time, or it would be paid again.
del _SANDBOX.globals["lipsum"], _SANDBOX.filters["random"]


class PromptError(RankstillError):
    """A prompt template that cannot be used, or does not fit what is asked."""


@dataclass(frozen=True)
class Template:
    """A prompt template that has been checked.

    Args:
        identity: what it says, for records: "listwise-v1", or "<file name>@<8 hex digits of its text's SHA-256>".
    """

    name: str
    identity: str
    source: str


@dataclass(frozen=True)
class TemplatePassage:
    """A passage as a template sees it: its identifier, brackets and all, and its text."""

    identifier: str
    text: str


def load_template(name_or_path: str) -> Template:
    """One of Rankstill's own templates by its name, such as "listwise-v1", or a user's by its path.

    Raises:
        PromptError: there is no such template, or it is broken: its syntax, a variable that it is not given, text
            outside its blocks, or a query, passage or identifier that it does not show.
    """
    own = {path.stem: path for path in _OWN.glob("*.jinja")}
    path = own.get(name_or_path, Path(name_or_path))
    try:
        source = path.read_text(encoding="utf-8-sig")  # some editors begin a file with a byte order mark
    except UnicodeDecodeError as error:
        raise PromptError(
            f"prompt template {name_or_path}: byte {error.start + 1} is not UTF-8. Convert the file."
        ) from error
    except OSError as error:
        raise PromptError(
            f"prompt template {name_or_path}: cannot be read ({error.strerror}). Give the path of a template file, or "
            f"one of {', '.join(sorted(own))}."
        ) from error
    digest = hashlib.sha256(source.encode("utf-8")).hexdigest()[:8]
    template = Template(name_or_path, name_or_path if name_or_path in own else f"{path.name}@{digest}", source)
    _check_form(template)
    if "passages" in variables(template):
        _check_ranking(template)
    elif "passage" in variables(template):
        _check_writing(template)
    else:
        raise _broken(template, "shows no passages. To rank, loop over passages; to write a query, show passage.")
    return template


def render(template: Template, values: Mapping[str, Any]) -> tuple[dict[str, str], ...]:
    """The template's chat messages; PromptError if the template uses another variable, or fails on these values."""
    foreign = variables(template) - values.keys()
    if foreign:
        raise _broken(
            template,
            f"uses {_names(foreign)}, but is given {_names(values)} here. Name a template that is made for this.",
        )
    compiled = _compile(template.source)
    contents = {}
    try:
        for role in _BLOCKS:
            if role in compiled.blocks:
                contents[role] = "".join(compiled.blocks[role](compiled.new_context(dict(values)))).strip()
    except Exception as error:  # an expression in a user's template may raise anything
        problem = " ".join(f"{type(error).__name__}: {error}".split())
        raise _broken(template, f"cannot be rendered ({problem}). Fix the template.") from error
    return tuple({"role": role, "content": content} for role, content in contents.items() if content)


@lru_cache(maxsize=16)
def variables(template: Template) -> frozenset[str]:
    """What the template must be given."""
    return frozenset(meta.find_undeclared_variables(_SANDBOX.parse(template.source)) - _SANDBOX.globals.keys())


@lru_cache(maxsize=16)
def _compile(source: str) -> jinja2.Template:
    return _SANDBOX.from_string(source)


def _check_form(template: Template) -> None:
    try:
        tree = _SANDBOX.parse(template.source)
        compiled = _compile(template.source)
    except jinja2.TemplateSyntaxError as error:
        raise PromptError(
            f"prompt template {template.name}, line {error.lineno}: {error.message} Fix the template."
        ) from error
    for node in tree.body:
        if not (isinstance(node, nodes.Block) or _is_blank(node)):
            raise PromptError(
                f"prompt template {template.name}, line {node.lineno}: stands outside the blocks, so no message would "
                "hold it. Move it into {% block system %} or {% block user %}."
            )
    if "user" not in compiled.blocks or compiled.blocks.keys() - set(_BLOCKS):
        raise _broken(
            template,
            f"has the blocks {_names(compiled.blocks) or 'none'}. It needs {{% block user %}} and may have "
            "{% block system %}, no others.",
        )


def _check_ranking(template: Template) -> None:
    _check_variables(template, _TO_RANK)
    query = "what the probe asks"
    for labels in ("123", "ABC"):
        passages = [TemplatePassage(f"[{label}]", f"text of probe {number}") for number, label in enumerate(labels)]
        for structured in (False, True):
            said = _said(template, {"query": query, "passages": passages, "structured": structured})
            if query not in said:
                raise _broken(template, "does not show the query. Write {{ query }} in it.")
            for passage in passages:
                if passage.identifier not in said:
                    raise _broken(
                        template,
                        f"does not show the identifier {passage.identifier} of three passages. Loop over passages and "
                        "write {{ passage.identifier }} for each.",
                    )
                if passage.text not in said:
                    raise _broken(
                        template,
                        f"does not show the text of passage {passage.identifier} of three. Loop over passages and "
                        "write {{ passage.text }} for each.",
                    )


def _check_writing(template: Template) -> None:
    _check_variables(template, _TO_WRITE)
    text = "text of the probe"
    for examples in ([], ["an example"]):
        if text not in _said(template, {"passage": text, "examples": examples}):
            raise _broken(template, "does not show the text of the passage. Write {{ passage }} in it.")


def _check_variables(template: Template, given: tuple[str, ...]) -> None:
    unknown = variables(template) - set(given)
    if unknown:
        raise _broken(template, f"uses {_names(unknown)}, but is given only {_names(given)}. Fix the template.")


def _said(template: Template, values: Mapping[str, Any]) -> str:
    return "\n".join(message["content"] for message in render(template, values))


def _is_blank(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Output) and all(
        isinstance(part, nodes.TemplateData) and not part.data.strip() for part in node.nodes
    )


def _broken(template: Template, problem: str) -> PromptError:
    return PromptError(f"prompt template {template.name}: {problem}")


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
