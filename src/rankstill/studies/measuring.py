"""What a study's runs say: means over seeds, intervals, and a paired test of each variant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rankstill.datasets import Dataset, Qrels
from rankstill.evaluation import Run, compare, holm, interval, per_query
from rankstill.studies.table import BEFORE, InitialRetriever, StudyRow, StudyTable
from rankstill.studies.variants import Study, Variant

if TYPE_CHECKING:
    from rankstill.config import EvaluationConfig


@dataclass(frozen=True)
class VariantResult:
    """The result of one variant with one seed.

    Args:
        run: of the variant's system over the test queries.
        ranker: the run of its ranker on the first stage; None where no ranker taught it.
    """

    variant: Variant
    seed: int
    run: Run
    ranker: Run | None


def study_table(
    study: Study, measured: Sequence[VariantResult], before: Run, dataset: Dataset, evaluation: EvaluationConfig
) -> StudyTable:
    """Means, intervals and paired tests of what is measured.

    Args:
        measured: runs, in any order.
    """
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
    compared = {
        name: compare(*_paired(values, variant, main, old[main]), seed=0, resamples=resamples)
        for name, variant in variants.items()
    }
    adjusted = dict(zip(compared, holm([found.p_value for found in compared.values()]), strict=True))
    rows = []
    for name, variant in variants.items():
        seeds = values[name]
        low, high = interval(np.mean([each[main] for each in seeds.values()], axis=0), 0, resamples)
        rows.append(
            StudyRow(
                variant=variant,
                by_seed={seed: float(each[main].mean()) for seed, each in seeds.items()},
                values={m: float(np.mean([each[m] for each in seeds.values()])) for m in measures},
                low=low,
                high=high,
                ranker=float(np.mean(rankers[name])) if name in rankers else None,
                against=_against(values, variant),
                comparison=compared[name],
                p_value=adjusted[name],
                compared_seeds=len(_common_seeds(values, variant)),
            )
        )
    start = InitialRetriever(
        {name: float(each.mean()) for name, each in old.items()}, *interval(old[main], 0, resamples)
    )
    return StudyTable(study, tuple(rows), measures, start, dataset.name, len(qrels))


def _against(values: Mapping[str, object], variant: Variant) -> str:
    return variant.against if variant.against in values and variant.against else BEFORE


def _paired(
    values: Mapping[str, Mapping[int, Mapping[str, NDArray[np.float64]]]],
    variant: Variant,
    measure: str,
    before: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each query's value of what the variant is compared with and of its own, its mean over common seeds."""
    against, common = _against(values, variant), _common_seeds(values, variant)
    own = np.mean([values[variant.name][seed][measure] for seed in common], axis=0)
    if against == BEFORE:
        return before, own
    return np.mean([values[against][seed][measure] for seed in common], axis=0), own


def _common_seeds(values: Mapping[str, Mapping[int, object]], variant: Variant) -> list[int]:
    """The variant's seeds that what it is compared with has too; the retriever before is the same for every seed."""
    against = _against(values, variant)
    own = values[variant.name].keys()
    return sorted(own if against == BEFORE else own & values[against].keys())


def _columns(run: Run, qrels: Qrels, measures: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Measure -> values in the order of the qrels' queries. [queries]"""
    return {name: np.array(list(each.values())) for name, each in per_query(run, qrels, measures).items()}
