"""The README's figure, drawn from docs/recipe-table.csv as SVG: nDCG@10 of each system with its 95 % interval.

python benchmarks/figure.py
"""

from __future__ import annotations

import csv
from pathlib import Path
from xml.sax.saxutils import escape

DOCS = Path(__file__).resolve().parent.parent / "docs"
SHOWN = {
    "chain: BM25": "BM25",
    "chain: retriever-before": "retriever before",
    "no-ranker: retriever-AFTER": "the LLM's order, no ranker",
    "chain: retriever-AFTER": "retriever AFTER",
    "chain: first-stage": "first stage, fused (RRF)",
    "chain: ranker": "ranker on the first stage",
    "chain: ranker-on-AFTER": "ranker on the new retriever",
}
OURS = ("retriever AFTER", "ranker on the new retriever")
WIDTH, ROW, LEFT, RIGHT, LOW, HIGH = 760, 34, 230, 70, 0.55, 0.80


def x(value: float) -> float:
    """Where a value lies on the axis, in pixels."""
    return LEFT + (value - LOW) / (HIGH - LOW) * (WIDTH - LEFT - RIGHT)


def draw(rows: list[tuple[str, float, float, float]]) -> str:
    """SVG of (name, value, low, high) rows; readable on light and dark pages."""
    height = ROW * len(rows) + 56
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff" rx="6"/>',
    ]
    for tick in (0.55, 0.60, 0.65, 0.70, 0.75, 0.80):
        parts.append(f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="12" y2="{height - 40}" stroke="#dddddd"/>')
        parts.append(f'<text x="{x(tick):.1f}" y="{height - 22}" text-anchor="middle" fill="#555555">{tick:.2f}</text>')
    for number, (name, value, low, high) in enumerate(rows):
        middle = 12 + ROW * number + ROW / 2
        color = "#1f6f5c" if name in OURS else "#9bb5ae"
        label = escape(name)
        weight = "bold" if name in OURS else "normal"
        parts += [
            f'<text x="{LEFT - 10}" y="{middle + 5:.1f}" text-anchor="end" font-weight="{weight}">{label}</text>',
            f'<rect x="{LEFT}" y="{middle - 11:.1f}" width="{x(value) - LEFT:.1f}" height="22" fill="{color}"/>',
            f'<line x1="{x(low):.1f}" x2="{x(high):.1f}" y1="{middle:.1f}" y2="{middle:.1f}" stroke="#222222"/>',
            f'<text x="{x(high) + 6:.1f}" y="{middle + 5:.1f}" font-weight="{weight}">{value:.3f}</text>',
        ]
    caption = "nDCG@10, SciFact, 300 test claims, mean over seeds; bars begin at 0.55; lines: 95 % bootstrap intervals"
    parts.append(
        f'<text x="{WIDTH / 2}" y="{height - 5}" text-anchor="middle" fill="#555555" font-size="12">{caption}</text>'
    )
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> None:
    """Read the table, write the figure."""
    with (DOCS / "recipe-table.csv").open(encoding="utf-8") as file:
        table = {row["system"]: row for row in csv.DictReader(file)}
    rows = []
    for system, name in SHOWN.items():
        if system in table:
            low, high = (float(end) for end in table[system]["95 % interval"].split(" to "))
            rows.append((name, float(table[system]["nDCG@10"]), low, high))
    (DOCS / "result.svg").write_text(draw(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
