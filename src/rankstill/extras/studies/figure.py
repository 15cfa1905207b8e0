"""A study as one picture: a dot a variant with its interval and its seeds, or a curve over the number of lists."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from markupsafe import Markup

from rankstill.report import svg
from rankstill.report.svg import COLOURS, WIDE, Drawing, Figure, element, line, number

if TYPE_CHECKING:
    from rankstill.extras.studies.table import StudyRow, StudyTable

_DOTS_WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 620, 20, 64, 52, 66
_ROUTES = (("after", "curve-0"), ("loss", "curve-2"), ("unsure", "curve-3"), ("before", "curve-1"))
"""The classes of a route's marks and of its curve."""


def draw_figure(table: StudyTable) -> str:
    """SVG, readable on light and dark pages."""
    width, draw = (WIDE, _curves) if any(row.variant.size for row in table.rows) else (_DOTS_WIDTH, _dots)
    figure = Figure(table.study.name, table.study.question, _caption(table), lambda _: draw(table))
    return figure.alone(width)


def _dots(table: StudyTable) -> Drawing:
    main = table.measures[0]
    before = table.before.values[main]
    x, ticks = _axis(table, _LEFT, _DOTS_WIDTH - _RIGHT)
    bottom = _TOP + _ROW * len(table.rows)
    parts = [line(x(tick), _TOP, x(tick), bottom, "grid") for tick in ticks]
    parts += [_text(x(tick), bottom + 18, f"{tick:g}", "middle", "quiet") for tick in ticks]
    parts.append(line(x(before), _TOP, x(before), bottom, "zero"))
    parts.append(_text(_LEFT, 24, table.study.question))
    parts.append(_text(x(before), _TOP - 6, f"before {before:.3f}", "middle", "quiet"))
    for index, row in enumerate(table.rows):
        y = _TOP + _ROW * index
        parts.append(_text(_LEFT, y + 17, row.variant.what))  # above its dot: the picture stays narrow, for phones
        parts.append(line(x(row.low), y + 34, x(row.high), y + 34, "span-after"))
        parts.append(_dot(x(row.values[main]), y + 34, "after", 5.5))
        parts += [_dot(x(each), y + 34) for each in _seeds(row) if row.variant.trained]
        parts.append(_text(x(row.high) + 8, y + 38, f"{row.values[main]:.3f}"))
    parts.append(_text(_DOTS_WIDTH / 2, bottom + 36, _caption(table), "middle", "quiet", 12))
    return Markup("").join(parts), bottom + 44


def _curves(table: StudyTable) -> Drawing:
    main, height, right = table.measures[0], 420, WIDE - 210
    before = table.before.values[main]
    y, ticks = _axis(table, height - 60, _TOP)
    lists = sorted({int(row.variant.name.rpartition("-")[2]) for row in table.rows})
    place = {size: 90 + index * (WIDE - 300) / max(1, len(lists) - 1) for index, size in enumerate(lists)}
    parts = [line(80, y(tick), right, y(tick), "grid") for tick in ticks]
    parts += [_text(70, y(tick) + 4, f"{tick:g}", "end", "quiet") for tick in ticks]
    parts += [_text(place[size], height - 40, f"{size}", "middle", "quiet") for size in lists]
    parts.append(line(80, y(before), right, y(before), "zero"))
    parts.append(_text(right + 12, y(before) + 4, f"before {before:.3f}", kind="quiet"))
    routes = list(dict.fromkeys(row.variant.name.rpartition("-")[0] for row in table.rows))
    for index, (route, (kind, curve)) in enumerate(zip(routes, _ROUTES[: len(routes)], strict=True)):
        rows = [row for row in table.rows if row.variant.name.rpartition("-")[0] == route]
        points = []
        for row in rows:
            at, here = place[int(row.variant.name.rpartition("-")[2])] + 6 * index, y(row.values[main])
            points.append((at, here))
            parts.append(line(at, y(row.low), at, y(row.high), f"span-{kind}"))
            parts.append(_dot(at, here, kind, 5))
            parts += [_dot(at, y(each)) for each in _seeds(row)]
        joined = " ".join(f"{number(at)},{number(here)}" for at, here in points)
        parts.append(element("polyline", points=joined, class_=curve))
        parts.append(_text(at + 14, here + 4, rows[-1].variant.what.partition(", ")[2], kind=kind))
    caption = f"By the number of LLM-ranked lists: {_caption(table)}"
    parts.append(_text(WIDE / 2, height - 8, caption, "middle", "quiet", 12))
    return Markup("").join(parts), height


def _axis(table: StudyTable, start: float, end: float) -> tuple[Callable[[float], float], list[float]]:
    """What turns values into pixels from start to end, and the values to mark."""
    values = [table.before.values[table.measures[0]]]
    values += [each for row in table.rows for each in (row.low, row.high, *row.by_seed.values())]
    low, high = min(values) - 0.01, max(values) + 0.01
    return lambda value: start + (value - low) / (high - low) * (end - start), svg.ticks(low, high, 8)


def _seeds(row: StudyRow) -> list[float]:
    return list(row.by_seed.values()) if len(row.by_seed) > 1 else []


def _caption(table: StudyTable) -> str:
    seeds = "; small dots: seeds" if any(_seeds(row) for row in table.rows) else ""
    return f"{table.measures[0]}, {table.dataset}, n = {table.n}; lines: 95 % bootstrap intervals over queries{seeds}"


def _dot(x: float, y: float, kind: str = "quiet", radius: float = 2.5) -> Markup:
    return element("circle", cx=x, cy=y, r=radius, class_=kind)


def _text(x: float, y: float, content: str, anchor: str = "start", kind: str = "", size: int = 14) -> Markup:
    halo = {"paint_order": "stroke", "stroke": COLOURS["paper"][0], "stroke_width": 4}  # lines pass behind words
    return svg.text(x, y, content, size, text_anchor=anchor, class_=kind, **halo)
