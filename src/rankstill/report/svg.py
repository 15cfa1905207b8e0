"""Scalable vector graphics from Python: elements, escaped, and figures drawn for a wide and for a narrow page.

The colours of page and figures are said here once: for screens by the reader's theme, for papers as they are on white.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from markupsafe import Markup, escape

from rankstill.workspace import write_atomically

# name -> on light, on dark. Text has a contrast of at least 4.5, marks of at least 3. Teal and orange keep apart for
# readers who do not tell red from green; what was before is grey everywhere.
COLOURS = {
    "paper": ("#ffffff", "#14181c"),
    "sunken": ("#f4f6f7", "#1c2227"),
    "line": ("#d5dbdf", "#39434b"),
    "text": ("#1a2024", "#e8ecef"),
    "quiet": ("#56616a", "#a3b0ba"),
    "before": ("#8593a0", "#7d8b98"),
    "after": ("#0b7080", "#2ba7b9"),
    "loss": ("#c2410c", "#ff9457"),
    "mark": ("#ffe9a8", "#5a4500"),
}

# What the figures' classes look like; $name is a colour.
_FIGURES = """
text { fill: $text; font-family: system-ui, "Segoe UI", Roboto, "Liberation Sans", "DejaVu Sans", sans-serif; }
.quiet { fill: $quiet; }
.strong { font-weight: 600; }
.grid { stroke: $line; stroke-width: 1; }
.zero { stroke: $quiet; stroke-width: 1; }
.whisker { stroke: $text; stroke-width: 1.5; }
.count { fill: $sunken; }
.before { fill: $before; }
.after { fill: $after; }
.loss { fill: $loss; }
.unsure { fill: $quiet; }
.span-before { stroke: $before; stroke-width: 2.5; }
.span-after { stroke: $after; stroke-width: 2.5; }
.span-loss { stroke: $loss; stroke-width: 2.5; }
.span-unsure { stroke: $quiet; stroke-width: 2.5; }
.curve-0 { stroke: $after; stroke-width: 2.25; fill: none; }
.curve-1 { stroke: $before; stroke-width: 2; fill: none; }
.curve-2 { stroke: $loss; stroke-width: 2; fill: none; stroke-dasharray: 5 3; }
.curve-3 { stroke: $quiet; stroke-width: 2; fill: none; stroke-dasharray: 1 3; }
"""
WIDE, NARROW = 860, 350
_PIXELS = 2  # a PNG's, for each unit of the drawing

Drawing = tuple[Markup, float]
"""What is drawn, and how high it is."""


def page_style() -> str:
    """For the page: variables that follow the theme, and the figures in terms of them."""
    variables = "\n".join(f"  --{name}: light-dark({light}, {dark});" for name, (light, dark) in COLOURS.items())
    rules = _FIGURES
    for name in COLOURS:
        rules = rules.replace(f"${name}", f"var(--{name})")
    return f":root {{\n{variables}\n}}\n" + rules.replace("\n.", "\nsvg .").replace("\ntext", "\nsvg text")


def paper_style() -> str:
    """For a figure by itself: plain colours, as on white."""
    rules = _FIGURES
    for name, (light, _) in COLOURS.items():
        rules = rules.replace(f"${name}", light)
    return rules


@dataclass(frozen=True)
class Figure:
    """One figure, for both widths of a page.

    Args:
        name: the name of its files and its element, a plain word.
        description: the same in words, for those who do not see it.
    """

    name: str
    title: str
    description: str
    draw: Callable[[int], Drawing]

    @property
    def wide(self) -> Markup:
        """For screens and paper, as an element of a page."""
        return self._element(WIDE, "wide")

    @property
    def narrow(self) -> Markup:
        """For phones."""
        return self._element(NARROW, "narrow")

    def alone(self, width: int = WIDE) -> str:
        """As a file of its own, on white."""
        drawn, height = self.draw(width)
        inner = (
            element("title", self.title),
            element("desc", self.description),
            element("style", Markup(paper_style())),
            element("rect", width=width, height=height, fill=COLOURS["paper"][0]),
            drawn,
        )
        size = {"width": width, "height": height, "viewBox": f"0 0 {width} {number(height)}"}
        return str(element("svg", *inner, xmlns="http://www.w3.org/2000/svg", **size)) + "\n"

    def _element(self, width: int, kind: str) -> Markup:
        drawn, height = self.draw(width)
        ids = [f"{self.name}-{kind}-{part}" for part in ("title", "description")]
        return element(
            "svg",
            element("title", self.title, id=ids[0]),
            element("desc", self.description, id=ids[1]),
            drawn,
            viewBox=f"0 0 {width} {number(height)}",
            role="img",
            class_=kind,
            aria_labelledby=ids[0],
            aria_describedby=ids[1],
        )


def element(name: str, *inside: str, **attributes: object) -> Markup:
    """An element; text inside and attributes' values are escaped, markup inside is not.

    Args:
        attributes: a trailing underscore is dropped, others become hyphens.
    """
    written = Markup("").join(
        Markup(' {}="{}"').format(
            key.rstrip("_").replace("_", "-"), number(value) if isinstance(value, float) else value
        )
        for key, value in attributes.items()
    )
    if not inside:
        return Markup(f"<{name}{written}/>")
    return Markup(f"<{name}{written}>") + Markup("").join(map(escape, inside)) + Markup(f"</{name}>")


def text(x: float, y: float, content: str, size: int = 14, **attributes: object) -> Markup:
    """A line of text, its baseline at y."""
    return element("text", content, x=x, y=y, font_size=size, **attributes)


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    """A straight line of a class."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=kind)


def number(value: float) -> str:
    """A coordinate to a tenth."""
    return f"{value:.1f}".removesuffix(".0")


def fitting(content: str, width: float, size: int = 14) -> str:
    """The text, cut where it would be wider than this; letters are taken to be 0.55 of their size wide."""
    room = max(4, int(width / (0.55 * size)))
    return content if len(content) <= room else content[: room - 1].rstrip() + "…"


def ticks(low: float, high: float, count: int) -> list[float]:
    """Round numbers from low to high, about as many as wanted."""
    rough = (high - low) / max(1, count)
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(each * step, 10) + 0.0 for each in range(first, last + 1)]


def write_figures(figures: Iterable[Figure], folder: Path) -> bool:
    """Write each figure as SVG, and as PNG where resvg-py is installed; whether it is."""
    with_png = find_spec("resvg_py") is not None
    folder.mkdir(exist_ok=True)
    for figure in figures:
        alone = figure.alone()
        write_atomically(folder / f"{figure.name}.svg", alone)
        if with_png:
            temporary = folder / f"{figure.name}.png.tmp"
            temporary.write_bytes(_as_png(alone))
            temporary.replace(folder / f"{figure.name}.png")
    return with_png


def _as_png(svg: str) -> bytes:
    import resvg_py

    return bytes(resvg_py.svg_to_bytes(svg_string=svg, zoom=_PIXELS))
