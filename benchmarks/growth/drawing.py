"""The figure: peak memory and seconds against size, both axes logarithmic, as SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

WIDTH, HEIGHT, TOP, BOTTOM, PANEL, GAP, LEFT = 900, 422, 34, 300, 350, 90, 60
COLORS = ("#1f6f5c", "#b3541e", "#3b5b92", "#8a6d1d", "#7a3f7f", "#5a5a5a", "#a3334f")
PANELS = (("peak_mb", "peak memory, MB", (100, 10_000)), ("seconds", "seconds", (0.01, 10_000)))
SIZES = (1_000, 1_000_000)


def draw(rows: Sequence[Mapping[str, float | str]], names: Mapping[str, str]) -> str:
    """The figure of rows with what, size, peak_mb and seconds; `names` in the key's order."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff" rx="6"/>',
    ]
    for number, (field, title, bounds) in enumerate(PANELS):
        left = LEFT + number * (PANEL + GAP)
        parts += _axes(left, title, bounds)
        for name, color in zip(names, COLORS, strict=True):
            points = [
                (left + _along(float(row["size"]), SIZES) * PANEL, _height(float(row[field]), bounds))
                for row in rows
                if row["what"] == name
            ]
            line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            parts.append(f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="2"/>')
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}"/>' for x, y in points]
    for number, (label, color) in enumerate(zip(names.values(), COLORS, strict=True)):
        x, y = LEFT + number % 3 * 270, BOTTOM + 58 + number // 3 * 22
        parts.append(f'<rect x="{x}" y="{y - 9}" width="14" height="10" fill="{color}"/>')
        parts.append(f'<text x="{x + 20}" y="{y}" fill="#333333">{escape(label)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _axes(left: float, title: str, bounds: tuple[float, float]) -> list[str]:
    parts = [f'<text x="{left}" y="{TOP - 14}" fill="#222222" font-weight="bold">{title}</text>']
    low, high = (round(math.log10(end)) for end in bounds)
    for power in range(low, high + 1):
        y = _height(10.0**power, bounds)
        parts.append(f'<line x1="{left}" x2="{left + PANEL}" y1="{y:.1f}" y2="{y:.1f}" stroke="#dddddd"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end" fill="#555555">{10.0**power:,g}</text>')
    for size in (1_000, 10_000, 100_000, 1_000_000):
        x = left + _along(size, SIZES) * PANEL
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{BOTTOM}" stroke="#eeeeee"/>')
        parts.append(f'<text x="{x:.1f}" y="{BOTTOM + 18}" text-anchor="middle" fill="#555555">{size:,}</text>')
    return parts


def _along(value: float, bounds: tuple[float, float]) -> float:
    low, high = map(math.log10, bounds)
    return (math.log10(max(value, bounds[0])) - low) / (high - low)


def _height(value: float, bounds: tuple[float, float]) -> float:
    return BOTTOM - _along(value, bounds) * (BOTTOM - TOP)
