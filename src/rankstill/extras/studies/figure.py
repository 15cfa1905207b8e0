"""A study as one picture: a dot a variant with its interval and its seeds, or a curve over the number of lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from rankstill.extras.studies.table import StudyRow, StudyTable

_DOTS_WIDTH, _CURVES_WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 620, 860, 20, 64, 52, 66
_INK, _FAINT, _GRID = "#222222", "#666666", "#dddddd"
_COLOURS = ("#1f6f5c", "#b3541e", "#5b5b9a")


def draw_figure(table: StudyTable) -> str:
    """SVG, readable on light and dark pages."""
    return _curves(table) if any(row.variant.size for row in table.rows) else _dots(table)


class _Axis:
    """An axis that ends on round figures: it turns values into pixels."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        self.step = next(step for step in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2) if (max(values) - min(values)) / step < 9)
        self.low = self.step * int(min(values) / self.step)
        self.high = self.step * (int(max(values) / self.step) + 1)
        self.start, self.end = start, end

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def name(self, tick: float) -> str:
        """With as many digits as tell one tick from the next."""
        return f"{tick:.{3 if self.step < 0.01 else 2}f}"

    def ticks(self) -> list[float]:
        return [self.low + self.step * number for number in range(round((self.high - self.low) / self.step) + 1)]


def _dots(table: StudyTable) -> str:
    main = table.measures[0]
    before = table.before.values[main]
    x = _Axis([before, *(end for row in table.rows for end in (row.low, row.high))], _LEFT, _DOTS_WIDTH - _RIGHT)
    bottom = _TOP + _ROW * len(table.rows)
    parts = [_line(x(tick), _TOP, x(tick), bottom, _GRID) for tick in x.ticks()]
    parts += [_text(x(tick), bottom + 18, x.name(tick), "middle", _FAINT) for tick in x.ticks()]
    parts.append(_line(x(before), _TOP, x(before), bottom, _INK, 'stroke-dasharray="4 4"'))
    parts.append(_text(_LEFT, 24, table.study.question))
    parts.append(_text(x(before), _TOP - 6, f"before {before:.3f}", "middle", _FAINT))
    for number, row in enumerate(table.rows):
        y = _TOP + _ROW * number
        parts.append(_text(_LEFT, y + 17, row.variant.what))  # above its dot: the picture stays narrow, for phones
        parts += _dot(row, x, y + 34, row.values[main])
    return _svg(parts, _DOTS_WIDTH, bottom + 44, _caption(table))


def _dot(row: StudyRow, x: _Axis, y: float, value: float) -> list[str]:
    seeds = [_circle(x(each), y, 2.5, _FAINT) for each in row.by_seed.values()]
    return [
        _line(x(row.low), y, x(row.high), y, _COLOURS[0], 'stroke-width="2"'),
        _circle(x(value), y, 5.5, _COLOURS[0]),
        *(seeds if len(seeds) > 1 and row.variant.trained else []),
        _text(x(row.high) + 8, y + 4, f"{value:.3f}"),
    ]


def _curves(table: StudyTable) -> str:
    main, height = table.measures[0], 420
    before = table.before.values[main]
    y = _Axis([before, *(end for row in table.rows for end in (row.low, row.high))], height - 60, _TOP)
    lists = sorted({int(row.variant.name.rpartition("-")[2]) for row in table.rows})
    place = {size: 90 + number * (_CURVES_WIDTH - 300) / max(1, len(lists) - 1) for number, size in enumerate(lists)}
    right = _CURVES_WIDTH - 210
    parts = [_line(80, y(tick), right, y(tick), _GRID) for tick in y.ticks()]
    parts += [_text(70, y(tick) + 4, y.name(tick), "end", _FAINT) for tick in y.ticks()]
    parts += [_text(place[size], height - 40, f"{size}", "middle", _FAINT) for size in lists]
    parts.append(_line(80, y(before), right, y(before), _INK, 'stroke-dasharray="4 4"'))
    parts.append(_text(right + 12, y(before) + 4, f"before {before:.3f}", "start", _FAINT))
    routes = list(dict.fromkeys(row.variant.name.rpartition("-")[0] for row in table.rows))
    for number, (route, colour) in enumerate(zip(routes, _COLOURS, strict=False)):
        rows = [row for row in table.rows if row.variant.name.rpartition("-")[0] == route]
        points = []
        for row in rows:
            at = place[int(row.variant.name.rpartition("-")[2])] + 6 * number
            points.append((at, y(row.values[main])))
            parts.append(_line(at, y(row.low), at, y(row.high), colour, 'stroke-width="2"'))
            parts.append(_circle(at, y(row.values[main]), 5, colour))
            parts += [_circle(at, y(each), 2.5, _FAINT) for each in row.by_seed.values() if len(row.by_seed) > 1]
        path = " ".join(f"{at:.1f},{here:.1f}" for at, here in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        what = rows[-1].variant.what.partition(", ")[2]
        parts.append(_text(points[-1][0] + 14, points[-1][1] + 4, what, "start", colour))
    return _svg(parts, _CURVES_WIDTH, height, f"By the number of LLM-ranked lists: {_caption(table)}")


def _caption(table: StudyTable) -> str:
    seeds = "; small dots: seeds" if any(len(row.by_seed) > 1 for row in table.rows) else ""
    return f"{table.measures[0]}, {table.dataset}, n = {table.n}; lines: 95 % bootstrap intervals over queries{seeds}"


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, more: str = "") -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" {more}/>'


def _circle(x: float, y: float, radius: float, colour: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str = "start", colour: str = _INK) -> str:
    halo = 'paint-order="stroke" stroke="#ffffff" stroke-width="4"'  # lines pass behind words
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" {halo}>{escape(text)}</text>'


def _svg(parts: Sequence[str], width: float, height: float, caption: str) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0f}" font-family="sans-serif" '
            'font-size="14" role="img">',
            f"<title>{escape(caption)}</title>",
            f'<rect width="{width}" height="{height:.0f}" fill="#ffffff" rx="6"/>',
            *parts,
            f'<text x="{width / 2}" y="{height - 8:.0f}" text-anchor="middle" fill="{_FAINT}" font-size="12">'
            f"{escape(caption)}</text>",
            "</svg>",
            "",
        ]
    )
