"""A page from its template: styles, script and data inside it, and a policy that lets nothing else in."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import platform
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from rankstill.config import Config, make_config, public_options
from rankstill.report.links import forgetting
from rankstill.report.showing import as_json, coded, shown, signed, typeset, visible
from rankstill.report.svg import page_style

_TEMPLATES = Path(__file__).parent / "templates"


def render_page(template: str, data: Any, **values: Any) -> str:
    """A self-contained page: nothing is fetched, no script runs but ours, and all values are escaped.

    Args:
        data: JSON-like, for the page's script.
    """
    style = page_style() + _own("page.css")
    script = _own("page.js")
    # The policy holds even if a text slipped through the escaping: a script or style that is not ours has another hash.
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    page: str = (
        _environment()
        .get_template(template)
        .render(policy=policy, style=Markup(style), script=Markup(script), data=as_json(data), **values)
    )
    return page


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "shown": shown,
        "coded": coded,
        "lines": _lines,
        "plain": _plain,
        "signed": signed,
        "typeset": typeset,
        "interval": _interval,
        "gap": _gap,
        "duration": _duration,
        "forgetting": forgetting,
    }
    environment.globals["version"] = version("rankstill")
    return environment


def _own(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _lines(text: str) -> str:
    """Text of many lines, each made visible."""
    indents = [(line, len(line) - len(line.lstrip(" "))) for line in text.split("\n")]
    return "\n".join(" " * indent + visible(line) for line, indent in indents)


def _plain(value: object) -> str:
    """A setting as YAML writes it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _interval(ends: tuple[float, float]) -> str:
    return "[{:.3f}, {:.3f}]".format(*ends)


def _gap(ends: tuple[float, float]) -> str:
    return f"[{signed(ends[0])}, {signed(ends[1])}]"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


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
