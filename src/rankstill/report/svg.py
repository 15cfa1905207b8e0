"""Scalable vector graphics from Python: elements, escaped, and figures drawn for a wide and for a narrow page."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from markupsafe import Markup, escape

from rankstill.report.palette import COLOURS, paper_style
from rankstill.workspace import write_atomically

WIDE, NARROW = 860, 350
_PIXELS = 2  # a PNG's, for each unit of the drawing

Drawing = tuple[Markup, float]
"""What is drawn, and how high it is."""


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

    def alone(self) -> str:
        """As a file of its own, on white."""
        drawn, height = self.draw(WIDE)
        inner = (
            element("title", self.title),
            element("desc", self.description),
            element("style", Markup(paper_style())),
            element("rect", width=WIDE, height=height, fill=COLOURS["paper"][0]),
            drawn,
        )
        size = {"width": WIDE, "height": height, "viewBox": f"0 0 {WIDE} {number(height)}"}
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
        inside: text and markup.
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
