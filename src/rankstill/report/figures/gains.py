"""Gains and losses query by query: one dot a query that changed, stacked where they are alike."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from rankstill.report.showing import signed
from rankstill.report.svg import NARROW, Drawing, Figure, element, line, number, text, ticks

_HEIGHT, _DOT, _TIGHTEST = 250, 7.0, 5.0
_BINS, _BINS_NARROW = 20, 10  # on either side of zero


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


def gains(name: str, title: str, measure: str, queries: Sequence[Gain]) -> Figure:
    """Dots left of zero got worse, right of it better; queries that did not change are counted in the middle.

    Where there are too many dots to tell apart, a column's height still counts all of its queries, and its dots are
    some of them.
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
        unit = min(2 * _DOT + 1, step - 1, _HEIGHT / tallest)
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
            parts += _column(stack, x, floor, unit, step, "after" if place > 0 else "loss")
        parts.append(text(12, 16, f"{worse:,} worse", class_="strong"))
        parts.append(text(centre, 16, f"{same:,} unchanged", class_="quiet", text_anchor="middle"))
        parts.append(text(width - 12, 16, f"{better:,} better", class_="strong", text_anchor="end"))
        caption = f"difference in {measure} of a query, distilled minus before"
        parts.append(text(centre, floor + 40, caption, 12, text_anchor="middle", class_="quiet"))
        return Markup("").join(parts), float(number(floor + 48))

    return Figure(name, title, description, draw)


def _column(stack: Sequence[Gain], x: float, floor: float, unit: float, step: float, kind: str) -> list[Markup]:
    apart = max(unit, _TIGHTEST)
    radius = min(_DOT, apart / 2 - 0.4, step / 2 - 0.5)
    height = unit * len(stack)
    # Those that can be opened first; the rest as far as there is room.
    dots = sorted(stack, key=lambda query: query.key is None)[: max(1, int(height / apart + 1e-9))]
    column = [] if unit >= _TIGHTEST else [_count(x, floor, height, radius)]
    for row, query in enumerate(dots):
        opens = {} if query.key is None else {"data_query": query.key}
        told = [element("title", f"{signed(query.value)}  {query.text}")] if query.text else []
        place = {"cx": x, "cy": floor - apart * (row + 0.5) - 1, "r": radius}
        column.append(element("circle", *told, **place, class_=f"dot {kind}", **opens))
    return column


def _count(x: float, floor: float, height: float, radius: float) -> Markup:
    return element("rect", x=x - radius, y=floor - height, width=2 * radius, height=height, class_="count")
