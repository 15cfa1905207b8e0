"""Training curves: losses by step, each named at its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from rankstill.report.svg import NARROW, Drawing, Figure, element, line, number, text, ticks

_HEIGHT, _POINTS, _KINDS = 200, 400, 4


@dataclass(frozen=True)
class Curve:
    """One line.

    Args:
        points: x and y, x rising.
    """

    label: str
    points: Sequence[tuple[float, float]]


def curves(name: str, title: str, x_label: str, lines: Sequence[Curve]) -> Figure:
    """Lines over one axis whose range holds zero.

    Args:
        lines: four at most, each with one point or more; long ones are thinned.
    """
    lines = [Curve(each.label, _thinned(each.points)) for each in lines[:_KINDS]]
    values = [y for each in lines for _, y in each.points]
    low, high = min(0.0, *values), max(0.0, *values)
    high = high if high > low else low + 1.0
    last = max(x for each in lines for x, _ in each.points)
    first = min(0.0, *(x for each in lines for x, _ in each.points))
    told = "; ".join(f"{each.label} from {each.points[0][1]:.3g} to {each.points[-1][1]:.3g}" for each in lines)
    description = f"{title}, by {x_label}: {told}."

    def draw(width: int) -> Drawing:
        left, right, top = 44.0, width - (108.0 if width <= NARROW else 130.0), 12.0
        floor = top + _HEIGHT
        x_scale, y_scale = (right - left) / max(last - first, 1e-9), _HEIGHT / (high - low)
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
        parts.append(text((left + right) / 2, floor + 38, x_label, 12, text_anchor="middle", class_="quiet"))
        return Markup("").join(parts), floor + 46

    return Figure(name, title, description, draw)


def _thinned(points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    if len(points) <= _POINTS:
        return points
    return [points[round(index * (len(points) - 1) / (_POINTS - 1))] for index in range(_POINTS)]
