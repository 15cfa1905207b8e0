"""The table beside an export: quality, size and speed of every form."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from rankstill.evaluation import Comparison
from rankstill.export.measuring import MEASURE, Agreement, Speed


@dataclass(frozen=True)
class ExportedVariant:
    """One form of the retriever.

    Args:
        name: "torch", or one of `VARIANTS`.
        megabytes: the size of its weights on disk.
        quality: the measure's mean; None where the dataset has nothing to measure with.
        comparison: with the model in torch; None for itself, too.
    """

    name: str
    megabytes: float
    agreement: Agreement
    speed: Speed
    quality: float | None
    comparison: Comparison | None


@dataclass(frozen=True)
class ExportTable:
    """Every form, the model in torch first.

    Args:
        passages: how many passages were searched.
    """

    queries: int
    passages: int
    corpus: int
    threads: int
    forms: tuple[ExportedVariant, ...]

    def to_json(self) -> dict[str, Any]:
        """Everything as plain dicts, lists and numbers."""
        return {"measure": MEASURE, **asdict(self)}

    def to_markdown(self) -> str:
        """The table as GitHub Markdown."""
        lines = [
            f"**What the export costs and brings** (n = {self.queries:,} queries)",
            "",
            f"| form | MB | {MEASURE} | difference [95 % interval] | cosine, passages (worst) | cosine, queries | "
            "passages/s | x torch (rounds) |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        ]
        lines += [_line(form) for form in self.forms]
        searched = "the whole corpus" if self.passages == self.corpus else "those that decide the measure"
        lines += [
            "",
            f"Searched: {self.passages:,} of {self.corpus:,} passages, {searched}. torch is sentence-transformers in "
            f"full precision; each form had {self.threads} thread(s) and encoded the same passages in turn.",
            "",
        ]
        return "\n".join(lines)


def _line(form: ExportedVariant) -> str:
    found = form.comparison
    changed = "" if found is None else f"{found.difference:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"
    near, fast = form.agreement, form.speed
    cells = (
        form.name,
        f"{form.megabytes:,.0f}",
        "not measured" if form.quality is None else f"{form.quality:.4f}",
        changed,
        f"{near.passages:.4f} ({near.worst:.4f})",
        "" if near.queries is None else f"{near.queries:.4f}",
        f"{fast.per_second:,.0f}",
        f"{fast.ratio:.2f} ({fast.low:.2f} to {fast.high:.2f})",
    )
    return "| " + " | ".join(cells) + " |"
