"""The colours of page and figures, once: for screens by the reader's theme, for papers as they are on white."""

from __future__ import annotations

# name -> on light, on dark. Text has a contrast of at least 4.5, marks of at least 3. Teal and orange keep apart for
# readers who do not tell red from green; what was before is grey everywhere.
COLOURS = {
    "paper": ("#ffffff", "#14181c"),
    "sunken": ("#f4f6f7", "#1c2227"),
    "line": ("#d5dbdf", "#39434b"),
    "text": ("#1a2024", "#e8ecef"),
    "quiet": ("#56616a", "#a3b0ba"),
    "before": ("#8593a0", "#7d8b98"),
    "after": ("#0b7080", "#2ba7b9"),
    "loss": ("#c2410c", "#ff9457"),
    "mark": ("#ffe9a8", "#5a4500"),
}

# What the figures' classes look like; $name is a colour.
_FIGURES = """
text { fill: $text; font-family: system-ui, "Segoe UI", Roboto, "Liberation Sans", "DejaVu Sans", sans-serif; }
.quiet { fill: $quiet; }
.strong { font-weight: 600; }
.grid { stroke: $line; stroke-width: 1; }
.zero { stroke: $quiet; stroke-width: 1; }
.whisker { stroke: $text; stroke-width: 1.5; }
.count { fill: $sunken; }
.before { fill: $before; }
.after { fill: $after; }
.loss { fill: $loss; }
.unsure { fill: $quiet; }
.span-after { stroke: $after; stroke-width: 2.5; }
.span-loss { stroke: $loss; stroke-width: 2.5; }
.span-unsure { stroke: $quiet; stroke-width: 2.5; }
.curve-0 { stroke: $after; stroke-width: 2.25; fill: none; }
.curve-1 { stroke: $before; stroke-width: 2; fill: none; }
.curve-2 { stroke: $loss; stroke-width: 2; fill: none; stroke-dasharray: 5 3; }
.curve-3 { stroke: $quiet; stroke-width: 2; fill: none; stroke-dasharray: 1 3; }
"""


def page_style() -> str:
    """For the page: variables that follow the theme, and the figures in terms of them."""
    variables = "\n".join(f"  --{name}: light-dark({light}, {dark});" for name, (light, dark) in COLOURS.items())
    rules = _FIGURES
    for name in COLOURS:
        rules = rules.replace(f"${name}", f"var(--{name})")
    return f":root {{\n{variables}\n}}\n" + rules.replace("\n.", "\nsvg .").replace("\ntext", "\nsvg text")


def paper_style() -> str:
    """For a figure by itself: plain colours, as on white."""
    rules = _FIGURES
    for name, (light, _) in COLOURS.items():
        rules = rules.replace(f"${name}", light)
    return rules
