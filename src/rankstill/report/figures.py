"""What the report draws: bars, differences with their intervals, gains query by query, and training curves."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from rankstill.report.showing import signed
from rankstill.report.svg import NARROW, Drawing, Figure, element, fitting, line, number, text, ticks

_BAR_ROW, _BAR_HEIGHT, _BAR_LABEL = 34, 20, 210
_CURVES_HEIGHT, _MOST_POINTS, _MOST_CURVES = 200, 400, 4
_DIFFERENCE_ROW, _DIFFERENCE_LABEL, _DIFFERENCE_VALUE = 32, 345, 180
_SHORT = 24  # characters of a label that leave room for the figures beside it
_GAINS_HEIGHT, _DOT, _TIGHTEST = 250, 7.0, 5.0
_BINS, _BINS_NARROW = 20, 10  # on either side of zero


@dataclass(frozen=True)
class Bar:
    """One bar: a system's value with its interval.

    Args:
        label: the system.
        value: the value, from 0.
        low: lower end of its interval.
        high: upper end.
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
        left, right, row_height = (4, width - 60, _BAR_ROW + 18) if narrow else (_BAR_LABEL, width - 70, _BAR_ROW)
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
            y = 8 + row_height * index + (22 if narrow else (_BAR_ROW - _BAR_HEIGHT) / 2)
            middle = y + _BAR_HEIGHT / 2
            label = fitting(row.label, (width if narrow else left) - 14)
            strong = "strong" if row.strong else ""
            if narrow:
                parts.append(text(left, y - 6, label, class_=strong))
                parts.append(line(left, y - 2, left, y + _BAR_HEIGHT + 2, "zero"))
            else:
                parts.append(text(left - 12, middle + 5, label, class_=strong, text_anchor="end"))
            length = max(0.0, row.value * scale)
            parts.append(element("rect", x=left, y=y, width=length, height=_BAR_HEIGHT, rx=2, class_=row.kind))
            ends = (left + row.low * scale, left + row.high * scale)
            parts.append(line(ends[0], middle, ends[1], middle, "whisker"))
            parts += [line(end, middle - 4, end, middle + 4, "whisker") for end in ends]
            parts.append(text(max(*ends, left + length) + 8, middle + 5, f"{row.value:.3f}", class_=strong))
        caption = f"{measure}; whiskers: 95 % interval"
        parts.append(text((left + right) / 2, bottom + 38, caption, 12, text_anchor="middle", class_="quiet"))
        return Markup("").join(parts), float(number(bottom + 46))

    return Figure(name, title, description, draw)


@dataclass(frozen=True)
class Curve:
    """One line.

    Args:
        points: x and y, x rising.
    """

    label: str
    points: Sequence[tuple[float, float]]


def curves(name: str, title: str, lines: Sequence[Curve]) -> Figure:
    """Lines over the steps of a training, on an axis whose range holds zero.

    Args:
        lines: four at most, each with one point or more; long ones are thinned.
    """
    lines = [Curve(each.label, _thinned(each.points)) for each in lines[:_MOST_CURVES]]
    values = [y for each in lines for _, y in each.points]
    low, high = min(0.0, *values), max(0.0, *values)
    high = high if high > low else low + 1.0
    last = max(x for each in lines for x, _ in each.points)
    first = min(0.0, *(x for each in lines for x, _ in each.points))
    told = "; ".join(f"{each.label} from {each.points[0][1]:.3g} to {each.points[-1][1]:.3g}" for each in lines)
    description = f"{title}, by step: {told}."

    def draw(width: int) -> Drawing:
        left, right, top = 44.0, width - (108.0 if width <= NARROW else 130.0), 12.0
        floor = top + _CURVES_HEIGHT
        x_scale, y_scale = (right - left) / max(last - first, 1e-9), _CURVES_HEIGHT / (high - low)
        parts = []
        for value in ticks(low, high, 4):
            y = floor - (value - low) * y_scale
            parts.append(line(left, y, right, y, "zero" if value == 0 else "grid"))
            parts.append(text(left - 8, y + 4, f"{value:g}", 12, text_anchor="end", class_="quiet"))
        for value in ticks(first, last, 3 if width <= NARROW else 6):
            x = left + (value - first) * x_scale
            parts.append(text(x, floor + 18, f"{value:g}", 12, text_anchor="middle", class_="quiet"))
        ends = []
        for index, each in enumerate(lines):
            places = [(left + (x - first) * x_scale, floor - (y - low) * y_scale) for x, y in each.points]
            joined = " ".join(f"{number(x)},{number(y)}" for x, y in places)
            parts.append(element("polyline", points=joined, class_=f"curve-{index}"))
            ends.append((places[-1], f"{each.label} {each.points[-1][1]:.3g}"))
        above = floor + 2
        for (x, y), label in sorted(ends, key=lambda end: -end[0][1]):
            place = min(y + 4, above)  # labels lie neither on one another nor on the axis below
            above = place - 16
            parts.append(text(x + 8, place, label, 13))
        parts.append(text((left + right) / 2, floor + 38, "step", 12, text_anchor="middle", class_="quiet"))
        return Markup("").join(parts), floor + 46

    return Figure(name, title, description, draw)


def _thinned(points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    if len(points) <= _MOST_POINTS:
        return points
    return [points[round(index * (len(points) - 1) / (_MOST_POINTS - 1))] for index in range(_MOST_POINTS)]


@dataclass(frozen=True)
class Difference:
    """One row of the figure: a difference with its interval.

    Args:
        label: the name of the comparison.
        value: its difference, above 0 where it gains.
        low: lower end of its interval.
        high: upper end.
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
        left, right = (14.0, width - 14.0) if narrow else (float(_DIFFERENCE_LABEL), float(width - _DIFFERENCE_VALUE))
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
                marks += [*drawn, line(zero, y + 4, zero, y + _DIFFERENCE_ROW - 4, "zero")]
            middle = y + _DIFFERENCE_ROW / 2
            if not narrow:
                marks.append(line(zero, top, zero, y + _DIFFERENCE_ROW, "zero"))
                marks.append(text(left - 16, middle + 5, fitting(row.label, left - 20), text_anchor="end"))
                marks.append(text(width, middle + 5, _figures(row), 13, text_anchor="end"))
            ends = (zero + row.low * scale, zero + row.high * scale)
            marks.append(line(ends[0], middle, ends[1], middle, f"span-{row.kind}"))
            marks.append(element("circle", cx=zero + row.value * scale, cy=middle, r=5.5, class_=row.kind))
            y += _DIFFERENCE_ROW
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


@dataclass(frozen=True)
class Gain:
    """One query's gain.

    Args:
        value: after minus before.
        key: by which the page opens the query; None if it holds no details of it.
        text: the text of the query, to be read while the mouse is on its dot.
    """

    value: float
    key: int | None = None
    text: str = ""


def gains(name: str, title: str, measure: str, queries: Sequence[Gain], *, every: bool = True) -> Figure:
    """Dots left of zero got worse, right of it better; queries that did not change are counted in the middle.

    Where there are too many dots to tell apart, a column's height still counts all of its queries, and its dots are
    some of them.

    Args:
        every: whether a query that the page cannot open has a dot too.
    """
    better, worse = (sum(side * query.value > 0 for query in queries) for side in (1, -1))
    same = len(queries) - better - worse
    reach = max((abs(query.value) for query in queries), default=0.0) or 1.0
    reach = 1.0 if 0.5 < reach <= 1 else reach
    description = (
        f"Of {len(queries):,} queries {better:,} got better in {measure}, {worse:,} got worse and {same:,} stayed the "
        "same. Each dot is a query that changed, placed by its difference."
    )

    def draw(width: int) -> Drawing:
        side = _BINS_NARROW if width <= NARROW else _BINS
        step = (width - 24) / (2 * side + 2)  # two steps in the middle are kept free for what did not change
        stacks: dict[int, list[Gain]] = defaultdict(list)
        for query in queries:
            if query.value:
                number_ = min(side, max(1, math.ceil(abs(query.value) / reach * side - 1e-9)))
                stacks[int(math.copysign(number_, query.value))].append(query)
        tallest = max([len(stack) for stack in stacks.values()] + [1])
        unit = min(2 * _DOT + 1, step - 1, _GAINS_HEIGHT / tallest)
        floor = 34 + unit * tallest + 6
        centre = width / 2
        parts = [line(12, floor, width - 12, floor, "zero")]
        for value in ticks(-reach, reach, 4 if width <= NARROW else 8):
            if value:
                x = centre + math.copysign(step * (1 + abs(value) / reach * side), value)
                anchor = "middle" if 30 < x < width - 30 else "start" if value < 0 else "end"
                label = f"{value:+g}".replace("-", "\u2212")
                parts.append(text(x, floor + 18, label, 12, text_anchor=anchor, class_="quiet"))
        for place, stack in sorted(stacks.items()):
            x = centre + math.copysign(step * (abs(place) + 0.5), place)
            parts += _column(stack, x, floor, unit, step, "after" if place > 0 else "loss", every)
        parts.append(text(12, 16, f"{worse:,} worse", class_="strong"))
        parts.append(text(centre, 16, f"{same:,} unchanged", class_="quiet", text_anchor="middle"))
        parts.append(text(width - 12, 16, f"{better:,} better", class_="strong", text_anchor="end"))
        caption = f"difference in {measure} of a query, after minus before"
        parts.append(text(centre, floor + 40, caption, 12, text_anchor="middle", class_="quiet"))
        return Markup("").join(parts), float(number(floor + 48))

    return Figure(name, title, description, draw)


def _column(
    stack: Sequence[Gain], x: float, floor: float, unit: float, step: float, kind: str, every: bool
) -> list[Markup]:
    apart = max(unit, _TIGHTEST)
    radius = min(_DOT, apart / 2 - 0.4, step / 2 - 0.5)
    height = unit * len(stack)
    # Those that can be opened first; the rest as far as there is room.
    dots = sorted((query for query in stack if every or query.key is not None), key=lambda query: query.key is None)
    dots = dots[: max(1, int(height / apart + 1e-9))]
    column = [] if unit >= _TIGHTEST and len(dots) == len(stack) else [_count(x, floor, height, radius)]
    for row, query in enumerate(dots):
        opens = {} if query.key is None else {"data_query": query.key}
        told = [element("title", f"{signed(query.value)}  {query.text}")] if query.text else []
        place = {"cx": x, "cy": floor - apart * (row + 0.5) - 1, "r": radius}
        column.append(element("circle", *told, **place, class_=f"dot {kind}", **opens))
    return column


def _count(x: float, floor: float, height: float, radius: float) -> Markup:
    return element("rect", x=x - radius, y=floor - height, width=2 * radius, height=height, class_="count")
