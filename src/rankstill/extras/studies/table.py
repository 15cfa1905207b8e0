"""What a study found: a row a variant, its seeds, its interval, and a paired test against what it is compared with."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rankstill.data import Dataset, Qrels
from rankstill.evaluation import Comparison, Run, compare, holm, interval, per_query
from rankstill.extras.studies.figure import draw_figure
from rankstill.extras.studies.variants import Study, Variant
from rankstill.tables import markdown_rows
from rankstill.workspace import write_atomically

if TYPE_CHECKING:
    from rankstill.config import EvaluationConfig


BEFORE = "before"
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class StudyRow:
    """One variant over its seeds.

    Args:
        variant: the variant's name.
        by_seed: the main measure of each seed: seed -> mean over queries; what is not trained has the same for all.
        values: measure -> mean over queries and seeds.
        low: lower end of the 95 % bootstrap interval of the main measure, over queries, each its mean over seeds.
        high: the interval's upper end.
        ranker: the main measure of the variant's ranker, its mean over seeds; None where no ranker taught.
        against: what it is compared with: another variant, or the retriever before.
        comparison: with that, over queries, each its mean over the seeds that both have.
        p_value: of the comparison, corrected by Holm for all comparisons of the study.
        compared_seeds: how many seeds the two have in common; of the row's own where it is compared with the retriever
            before, which has none.
    """

    variant: Variant
    by_seed: dict[int, float]
    values: dict[str, float]
    low: float
    high: float
    ranker: float | None
    against: str
    comparison: Comparison
    p_value: float
    compared_seeds: int

    @property
    def is_significant(self) -> bool:
        """Whether the variant differs from what it is compared with, at a family-wise level of 5 %."""
        return self.p_value < SIGNIFICANT


@dataclass(frozen=True)
class InitialRetriever:
    """The retriever before training, which every variant starts from; it is the same for every seed.

    Args:
        values: measure -> mean over queries.
        low: lower end of the 95 % bootstrap interval of the main measure, over queries.
        high: the interval's upper end.
    """

    values: dict[str, float]
    low: float
    high: float


@dataclass(frozen=True)
class StudyTable:
    """A study's rows.

    Args:
        measures: the main one first.
    """

    study: Study
    rows: tuple[StudyRow, ...]
    measures: tuple[str, ...]
    before: InitialRetriever
    dataset: str
    n: int

    def reading(self) -> list[str]:
        """The comparisons in words: a line for each baseline and verdict."""
        main = self.measures[0]
        lines: list[str] = []
        for against in dict.fromkeys(row.against for row in self.rows):
            rows = sorted(
                (row for row in self.rows if row.against == against), key=lambda row: -row.comparison.difference
            )
            name = "the retriever before" if against == BEFORE else against
            value = (self.before if against == BEFORE else self._row(against)).values[main]
            lines += [
                f"Against {name} ({main} {value:.3f}), {verdict}: {', '.join(self._in_words(row) for row in those)}."
                for verdict, those in (
                    ("better", [row for row in rows if row.is_significant and row.comparison.difference > 0]),
                    ("worse", [row for row in rows if row.is_significant and row.comparison.difference < 0]),
                    ("no significant difference", [row for row in rows if not row.is_significant]),
                )
                if those
            ]
        return lines

    def caption(self) -> str:
        """How the figures were made."""
        seeds = sorted({len(row.by_seed) for row in self.rows if row.variant.trained})
        many = " to ".join(dict.fromkeys(str(number) for number in (*seeds[:1], *seeds[-1:])))
        trained = f", {many} seed{'s' * (seeds != [1])}" if seeds else ""
        return (
            f"n = {self.n:,} queries of {self.dataset}{trained}. "
            f"Brackets: 95 % bootstrap intervals over queries, each query its mean over seeds. They do not show how "
            f"much another seed would differ. p: paired randomisation test, "
            f"Holm-corrected for {len(self.rows)} comparisons."
        )

    def to_markdown(self) -> str:
        """Table, caption and reading."""
        main, *others = self.measures
        head = ["variant", f"{main} [95 %]", "by seed", *others, f"its ranker's {main}", "against", "difference", "p"]
        nothing = ["", "", "", ""]
        figures = [f"{self.before.values[measure]:.3f}" for measure in others]
        rows = [head, [f"`{BEFORE}`: the retriever before", _bracketed(self.before, main), "", *figures, *nothing]]
        for row in self.rows:
            found = row.comparison
            cells = [
                f"`{row.variant.name}`: {row.variant.what}",
                _bracketed(row, main),
                " ".join(f"{value:.3f}" for value in row.by_seed.values()) if row.variant.trained else "",
                *(f"{row.values[measure]:.3f}" for measure in others),
                "" if row.ranker is None else f"{row.ranker:.3f}",
                row.against,
                f"{found.difference_text()}{self._over_fewer_seeds(row)}",
                f"{row.p_value:.4f}",
            ]
            rows.append(cells)
        table = markdown_rows(rows, text_columns=len(head))
        reading = (f"- {line}" for line in self.reading())
        return "\n".join([f"**{self.study.question}**", "", *table, "", self.caption(), "", *reading, ""])

    def to_csv(self) -> str:
        """The retriever before and one row a variant, every figure unrounded."""
        text = io.StringIO()
        writer = csv.writer(text)
        main = self.measures[0]
        compared = ["against", "difference", "difference_low", "difference_high", "p_raw", "p_holm"]
        writer.writerow(
            ["variant", "what", "seeds", "n", *self.measures, "low", "high", f"{main}_by_seed", "ranker", *compared]
        )
        figures = [self.before.values[measure] for measure in self.measures]
        ends, nothing = [self.before.low, self.before.high], [""] * (2 + len(compared))
        writer.writerow([BEFORE, "the retriever before", "", self.n, *figures, *ends, *nothing])
        for row in self.rows:
            found = row.comparison
            writer.writerow(
                [
                    row.variant.name,
                    row.variant.what,
                    len(row.by_seed) if row.variant.trained else "",
                    self.n,
                    *(row.values[measure] for measure in self.measures),
                    row.low,
                    row.high,
                    " ".join(f"{seed}:{value:.6f}" for seed, value in row.by_seed.items())
                    if row.variant.trained
                    else "",
                    "" if row.ranker is None else row.ranker,
                    row.against,
                    *(found.difference, found.low, found.high, found.p_value, row.p_value),
                ]
            )
        return text.getvalue()

    def _row(self, name: str) -> StudyRow:
        return next(row for row in self.rows if row.variant.name == name)

    def _in_words(self, row: StudyRow) -> str:
        p = f"p {row.p_value:.3f}" if row.p_value >= 0.0005 else "p < 0.001"
        return f"{row.variant.name} ({row.comparison.difference:+.3f}{self._over_fewer_seeds(row)}, {p})"

    def _over_fewer_seeds(self, row: StudyRow) -> str:
        """Says of a difference that it is not that of the two means shown, where the two have other seeds as well."""
        have = {len(row.by_seed), row.compared_seeds if row.against == BEFORE else len(self._row(row.against).by_seed)}
        return (
            ""
            if have == {row.compared_seeds}
            else f" over {row.compared_seeds} common seed{'s' * (row.compared_seeds > 1)}"
        )

    def write(self, folder: Path, made: str = "") -> None:
        """As `<study>.md`, `<study>.csv` and `<study>.svg`, the first with figure and, if told, how it was made."""
        name = self.study.name
        head = f"# Study: {name}\n\n![What the table says, as dots or curves with intervals.]({name}.svg)\n\n"
        text = head + self.to_markdown() + (f"\n{made}\n" if made else "")
        parts = {"md": text, "csv": self.to_csv(), "svg": draw_figure(self)}
        for kind, part in parts.items():
            write_atomically(folder / f"{name}.{kind}", part)


def _bracketed(row: StudyRow | InitialRetriever, main: str) -> str:
    return f"{row.values[main]:.3f} [{row.low:.3f}, {row.high:.3f}]"


@dataclass(frozen=True)
class VariantResult:
    """The result of one variant with one seed.

    Args:
        ranker: the run of its ranker on the first stage; None where no ranker taught it.
    """

    variant: Variant
    seed: int
    run: Run
    ranker: Run | None


def study_table(
    study: Study, measured: Sequence[VariantResult], before: Run, dataset: Dataset, evaluation: EvaluationConfig
) -> StudyTable:
    """Means, intervals and paired tests of what is measured."""
    qrels, measures = dataset.test_qrels(), tuple(evaluation.measures)
    main, resamples = measures[0], evaluation.resamples
    values: dict[str, dict[int, dict[str, NDArray[np.float64]]]] = {}
    rankers: dict[str, list[float]] = {}
    variants = {each.variant.name: each.variant for each in measured}
    for each in measured:
        values.setdefault(each.variant.name, {})[each.seed] = _columns(each.run, qrels, measures)
        if each.ranker is not None:
            rankers.setdefault(each.variant.name, []).append(float(_columns(each.ranker, qrels, [main])[main].mean()))
    old = _columns(before, qrels, measures)
    rows = []
    for name, variant in variants.items():
        seeds = values[name]
        against = variant.against if variant.against in values and variant.against else BEFORE
        # Over the seeds that both have; the retriever before is the same for every seed.
        common = sorted(seeds.keys() & values.get(against, seeds).keys())
        own = np.mean([seeds[seed][main] for seed in common], axis=0)
        other = old[main] if against == BEFORE else np.mean([values[against][seed][main] for seed in common], axis=0)
        comparison = compare(other, own, seed=0, resamples=resamples)
        low, high = interval(np.mean([each[main] for each in seeds.values()], axis=0), 0, resamples)
        rows.append(
            StudyRow(
                variant=variant,
                by_seed={seed: float(each[main].mean()) for seed, each in seeds.items()},
                values={m: float(np.mean([each[m] for each in seeds.values()])) for m in measures},
                low=low,
                high=high,
                ranker=float(np.mean(rankers[name])) if name in rankers else None,
                against=against,
                comparison=comparison,
                p_value=comparison.p_value,
                compared_seeds=len(common),
            )
        )
    corrected = holm([row.p_value for row in rows])
    adjusted = tuple(replace(row, p_value=p_value) for row, p_value in zip(rows, corrected, strict=True))
    start = InitialRetriever(
        {name: float(each.mean()) for name, each in old.items()}, *interval(old[main], 0, resamples)
    )
    return StudyTable(study, adjusted, measures, start, dataset.name, len(qrels))


def _columns(run: Run, qrels: Qrels, measures: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Measure -> values in the order of the qrels' queries. [queries]"""
    return {name: np.array(list(each.values())) for name, each in per_query(run, qrels, measures).items()}
