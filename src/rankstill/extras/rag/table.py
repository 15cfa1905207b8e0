"""What readers answered, system by system: figures with intervals, paired tests, and every answer kept."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from rankstill.evaluation.significance import share_interval
from rankstill.evaluation.table import EvaluationTable, SystemResult
from rankstill.tables import markdown_rows
from rankstill.teacher.prices import Quote
from rankstill.workspace import write_atomically

CLOSED_BOOK = "closed book"


@dataclass(frozen=True)
class Row:
    """The reader's answer to one question with one system's passages.

    Args:
        said: all that the reader said; None where the call was given up.
    """

    question_id: str
    system: str
    question: str
    accepted: tuple[str, ...]
    answer: str
    said: str | None
    passages: int
    values: dict[str, float]
    subject: str
    call: str


@dataclass(frozen=True)
class AccuracyShare:
    """The share of a subject's questions that the reader answered right with one system's passages.

    Args:
        n: questions.
        mean: the share, 0 to 1.
        low: lower end of its 95 % interval (`share_interval`).
        high: the interval's upper end.
    """

    n: int
    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class RagTable:
    """A reader's answers from what each system found, on the same questions.

    Args:
        table: figures, intervals and paired tests, a measure each for EM, F1 and Contained, or for Accuracy.
        k: passages a question, at most.
        taken: by the answers, whoever paid for them and when.
    """

    table: EvaluationTable
    reader: str
    prompt: str
    k: int
    taken: Quote
    notes: tuple[str, ...]
    rows: tuple[Row, ...] = field(repr=False)

    def passages_read(self) -> dict[str, float]:
        """The mean number of passages that the prompts showed: system -> passages."""
        read: dict[str, list[int]] = {}
        for row in self.rows:
            read.setdefault(row.system, []).append(row.passages)
        return {system: fmean(counts) for system, counts in read.items()}

    def by_subject(self) -> dict[str, dict[str, AccuracyShare]]:
        """Accuracy by subject: subject -> system -> share. Empty where no question has a subject."""
        main = self.table.measures[0]
        values: dict[str, dict[str, list[float]]] = {}
        for row in self.rows:
            if row.subject:
                values.setdefault(row.subject, {}).setdefault(row.system, []).append(row.values[main])
        return {
            subject: {
                system: AccuracyShare(len(each), fmean(each), *share_interval(int(sum(each)), len(each)))
                for system, each in values[subject].items()
            }
            for subject in sorted(values)
        }

    def to_markdown(self) -> str:
        """Figures, paired tests, subjects if any, and notes, as GitHub Markdown."""
        read = self.passages_read()
        n = f"n = {self.table.n:,} question{'s' * (self.table.n != 1)}"
        figures = [
            [system.name, f"{read[system.name]:.1f}", *(_figure(system, measure) for measure in self.table.measures)]
            for system in self.table.systems
        ]
        headings = ["system", "passages read", *(f"{name} [95 %]" for name in self.table.measures)]
        subjects = self.by_subject()
        names = [system.name for system in self.table.systems]
        return "\n".join(
            [
                f"**RAG question answering, {n}, reader {self.reader}, prompt {self.prompt}, k = {self.k}**",
                "",
                *markdown_rows([headings, *figures]),
                "",
                *self._differences(),
                *self._subjects(subjects, names),
                *self._caption(),
                "",
            ]
        )

    def to_json(self) -> dict[str, Any]:
        """Everything as plain dicts, tuples and numbers; "table" is what `EvaluationTable.from_json` reads."""
        subjects = self.by_subject().items()
        shares = {subject: {name: asdict(share) for name, share in systems.items()} for subject, systems in subjects}
        return {**asdict(self), "by_subject": shares}

    def to_csv(self) -> str:
        """Every answer with its scores, one a line."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        measures = self.table.measures
        writer.writerow(
            ["question_id", "system", "subject", "question", "accepted", "answer", "said", "passages", *measures]
        )
        for row in self.rows:
            known = json.dumps(row.accepted, ensure_ascii=False)
            about = [row.question_id, row.system, row.subject, row.question, known, row.answer, row.said, row.passages]
            writer.writerow([*about, *(row.values[measure] for measure in measures)])
        return text.getvalue()

    def write(self, folder: Path) -> None:
        """Write rag.md, rag.json and rag.csv into a folder, each whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "rag.md", self.to_markdown())
        write_atomically(folder / "rag.json", json.dumps(self.to_json(), ensure_ascii=False, indent=1) + "\n")
        write_atomically(folder / "rag.csv", self.to_csv())

    def _differences(self) -> list[str]:
        compared = [system for system in self.table.systems if system.comparisons]
        if not compared:
            return []
        adjusted = {measure: self.table.adjusted_p(measure) for measure in self.table.measures}
        rows = []
        for system in compared:
            cells = [system.name]
            for measure, found in (system.comparisons or {}).items():
                cells.append(found.difference_text())
                cells.append(f"{found.wins}/{found.losses}")
                cells.append(f"{adjusted[measure][system.name]:.4f}")
            rows.append(cells)
        columns = [f"against {self.table.baseline}"]
        for measure in self.table.measures:
            columns += [f"{measure} difference [95 %]", f"{measure} better/worse", f"{measure} p"]
        return [*markdown_rows([columns, *rows]), ""]

    def _subjects(self, subjects: Mapping[str, Mapping[str, AccuracyShare]], names: Sequence[str]) -> list[str]:
        if not subjects:
            return []
        rows = [
            [subject, f"{systems[names[0]].n:,}", *(str(systems[name]) for name in names)]
            for subject, systems in subjects.items()
        ]
        columns = [f"{self.table.measures[0]} by subject", "n", *(f"{name} [95 %]" for name in names)]
        return [*markdown_rows([columns, *rows]), ""]

    def _caption(self) -> list[str]:
        compared = sum(system.comparisons is not None for system in self.table.systems)
        tests = (
            f" p: paired randomisation test, Holm-corrected within a measure for {compared} "
            f"comparison{'s' * (compared != 1)}; better/worse: questions on which the system scores above or below "
            f"{self.table.baseline}."
        )
        lines = [f"Brackets: 95 % bootstrap interval over questions.{tests * bool(compared)} Used: {self.taken}."]
        if self.by_subject():
            lines.append("By subject: Wilson's 95 % interval, not corrected for the number of subjects.")
        return lines + [f"Note: {note}" for note in self.notes]


def _figure(system: SystemResult, measure: str) -> str:
    low, high = system.intervals[measure]
    return f"{system.values[measure]:.3f} [{low:.3f}, {high:.3f}]"
