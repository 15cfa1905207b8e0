"""Differences with their intervals beside a line at zero: who gains, who loses, and where nobody can tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from rankstill.report.showing import signed
from rankstill.report.svg import NARROW, Drawing, Figure, element, fitting, line, number, text, ticks

_ROW, _LABEL, _VALUE = 32, 345, 180
_SHORT = 24  # characters of a label that leave room for the figures beside it


@dataclass(frozen=True)
class Difference:
    """One row of the figure: a difference with its interval.

    Args:
        heading: starts a group of rows with this line above them.
    """

    label: str
    value: float
    low: float
    high: float
    heading: str | None = None

    @property
    def kind(self) -> str:
        """What may be said of it: a gain, a loss, or neither."""
        return "after" if self.low > 0 else "loss" if self.high < 0 else "unsure"


def differences(name: str, title: str, measure: str, rows: Sequence[Difference]) -> Figure:
    """One point and interval a row, on one axis, with the figures beside them."""
    told = "; ".join(
        f"{f'{row.heading}: ' if row.heading else ''}{row.label} {row.value:+.3f} [{row.low:+.3f}, {row.high:+.3f}]"
        for row in rows
    )
    description = f"Differences in {measure} with 95 % intervals: {told}."
    lowest = min(0.0, *(min(row.low, row.value) for row in rows))
    highest = max(0.0, *(max(row.high, row.value) for row in rows))
    highest = highest if highest > lowest else 1.0  # nothing differs, and an axis needs a length
    span = highest - lowest

    def draw(width: int) -> Drawing:
        narrow = width <= NARROW
        left, right = (14.0, width - 14.0) if narrow else (float(_LABEL), float(width - _VALUE))
        scale = (right - left) / span
        zero = left - lowest * scale
        marks, y = [], 6.0
        for row in rows:
            if row.heading:
                marks.append(text(0, y + 16, fitting(row.heading, width, 13), 13, class_="quiet"))
                y += 24
            top = y
            if narrow:
                drawn, y = _above(row, y, width)
                marks += [*drawn, line(zero, y + 4, zero, y + _ROW - 4, "zero")]
            middle = y + _ROW / 2
            if not narrow:
                marks.append(line(zero, top, zero, y + _ROW, "zero"))
                marks.append(text(left - 16, middle + 5, fitting(row.label, left - 20), text_anchor="end"))
                marks.append(text(width, middle + 5, _figures(row), 13, text_anchor="end"))
            ends = (zero + row.low * scale, zero + row.high * scale)
            marks.append(line(ends[0], middle, ends[1], middle, f"span-{row.kind}"))
            marks.append(element("circle", cx=zero + row.value * scale, cy=middle, r=5.5, class_=row.kind))
            y += _ROW
        axis = []
        for value in ticks(lowest, highest, 4 if narrow else 6):
            x = zero + value * scale
            axis.append(line(x, y, x, y + 4, "zero"))
            label = "0" if value == 0 else f"{value:+g}".replace("-", "\u2212")
            axis.append(text(x, y + 18, label, 12, text_anchor="middle", class_="quiet"))
        middle = (left + right) / 2
        caption = f"difference in {measure}, 95 % interval"
        axis.append(text(middle, y + 38, caption, 12, text_anchor="middle", class_="quiet"))
        return Markup("").join([*axis, *marks]), float(number(y + 46))

    return Figure(name, title, description, draw)


def _above(row: Difference, y: float, width: int) -> tuple[list[Markup], float]:
    """On a narrow page label and figures stand above the interval: on one line, or on two where they are long."""
    if len(row.label) <= _SHORT:
        return [text(0, y + 16, row.label, 13), text(width, y + 16, _figures(row), 12, text_anchor="end")], y + 20
    return [text(0, y + 16, fitting(row.label, width, 13), 13), text(0, y + 32, _figures(row), 12)], y + 36


def _figures(row: Difference) -> str:
    return f"{signed(row.value)} [{signed(row.low)}, {signed(row.high)}]"
