"""Bars from zero with their intervals: how good each system is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from rankstill.report.svg import NARROW, Drawing, Figure, element, fitting, line, number, text, ticks

_ROW, _HEIGHT, _LABEL = 34, 20, 210


@dataclass(frozen=True)
class Bar:
    """One bar: a system's value with its interval.

    Args:
        kind: the kind whose retriever is in it: the one before, or the one after.
        strong: whether the label stands out.
    """

    label: str
    value: float
    low: float
    high: float
    kind: Literal["before", "after"]
    strong: bool = False


def bars(name: str, title: str, measure: str, rows: Sequence[Bar]) -> Figure:
    """One bar a row, each with its interval and its value beside it."""
    told = "; ".join(f"{row.label} {row.value:.3f} [{row.low:.3f}, {row.high:.3f}]" for row in rows)
    description = f"{measure} with 95 % intervals: {told}."
    top = max([row.high for row in rows] + [row.value for row in rows]) or 1.0

    def draw(width: int) -> Drawing:
        narrow = width <= NARROW
        left, right, row_height = (4, width - 60, _ROW + 18) if narrow else (_LABEL, width - 70, _ROW)
        scale = (right - left) / top
        bottom = 8 + row_height * len(rows)
        parts = []
        for value in ticks(0, top, 4 if narrow else 6):
            x = left + value * scale
            if value or not narrow:
                parts.append(line(x, 4, x, bottom, "zero" if value == 0 else "grid"))
            anchor = "start" if value == 0 and narrow else "middle"
            parts.append(text(x, bottom + 18, f"{value:g}", 12, text_anchor=anchor, class_="quiet"))
        for index, row in enumerate(rows):
            y = 8 + row_height * index + (22 if narrow else (_ROW - _HEIGHT) / 2)
            middle = y + _HEIGHT / 2
            label = fitting(row.label, (width if narrow else left) - 14)
            strong = "strong" if row.strong else ""
            if narrow:
                parts.append(text(left, y - 6, label, class_=strong))
                parts.append(line(left, y - 2, left, y + _HEIGHT + 2, "zero"))
            else:
                parts.append(text(left - 12, middle + 5, label, class_=strong, text_anchor="end"))
            length = max(0.0, row.value * scale)
            parts.append(element("rect", x=left, y=y, width=length, height=_HEIGHT, rx=2, class_=row.kind))
            ends = (left + row.low * scale, left + row.high * scale)
            parts.append(line(ends[0], middle, ends[1], middle, "whisker"))
            parts += [line(end, middle - 4, end, middle + 4, "whisker") for end in ends]
            parts.append(text(max(*ends, left + length) + 8, middle + 5, f"{row.value:.3f}", class_=strong))
        caption = f"{measure}; whiskers: 95 % interval"
        parts.append(text((left + right) / 2, bottom + 38, caption, 12, text_anchor="middle", class_="quiet"))
        return Markup("").join(parts), float(number(bottom + 46))

    return Figure(name, title, description, draw)
