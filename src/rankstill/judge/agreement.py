"""How good a judge is: its agreement with people, and with itself when the passages stand in another order."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rankstill.data.dataset import RELEVANT_TO_JUDGE, Qrels
from rankstill.evaluation.attribution import kendall_tau
from rankstill.evaluation.metrics import per_query
from rankstill.evaluation.runs import Run
from rankstill.evaluation.systems import BEFORE
from rankstill.evaluation.table import EvaluationTable, count_missing, tabulate
from rankstill.judge.grading import HIGHEST, GradedAnswer

if TYPE_CHECKING:
    from rankstill.config import Config


@dataclass(frozen=True)
class HumanAgreement:
    """A judge beside human judgements of the same queries.

    Args:
        assumed: whether passages that people did not judge count as not relevant, for people named relevant ones alone.
        kappa: Cohen's, of relevant and not relevant; None where either calls all of them the same.
        tau: Kendall's tau-b of the systems' order, by mean of the main measure; None where either finds no difference.
        by_judge: the systems measured by the LLM's judgements, on the main measure.
        by_people: likewise by people's.
    """

    queries: int
    passages: int
    assumed: bool
    kappa: float | None
    tau: float | None
    by_judge: EvaluationTable
    by_people: EvaluationTable


@dataclass(frozen=True)
class SelfConsistency:
    """A judge that graded the same passages twice, the second time in the opposite order.

    Args:
        queries: of how many queries it graded passages.
        told_apart: of these, those whose passages did not all get one grade.
        passages: how many passages got a grade both times.
        kappa: Cohen's, with quadratic weights, of the two grades; None where it gave one grade alone.
        far: passages whose two grades differ by 2 or 3.
        by_chance: the share of grades that, drawn by chance, would make as many passages differ so far.
        changed: passages whose two grades differ.
        earlier: of these, those that got the higher grade where they stood earlier in their prompt.
    """

    queries: int
    told_apart: int
    commonest: int
    passages: int
    kappa: float | None
    far: int
    by_chance: float
    changed: int
    earlier: int

    @property
    def p_value(self) -> float:
        """The p-value of `earlier` if the order of passages did not matter: two-sided sign test."""
        from scipy.stats import binomtest

        return float(binomtest(self.earlier, self.changed).pvalue) if self.changed else 1.0


def cohen_kappa(one: Sequence[int], other: Sequence[int], *, weighted: bool = False) -> float | None:
    """Agreement beyond chance (Cohen 1960; with quadratic weights Cohen 1968), as scikit-learn computes it.

    Args:
        one: grades. [passages]
        other: grades of the same passages. [passages]
        weighted: a disagreement counts by the square of its size.

    Returns:
        1 for full agreement, 0 for that of chance; None where both give one grade alone, of which it says nothing.
    """
    from sklearn.metrics import cohen_kappa_score

    if len({*one, *other}) < 2:
        return None
    if not weighted:
        return float(cohen_kappa_score(one, other))
    # All labels: the size of a disagreement is that of their places among these.
    return float(cohen_kappa_score(one, other, labels=range(HIGHEST + 1), weights="quadratic"))


def human_agreement(judged: Qrels, people: Qrels, runs: Mapping[str, Run], config: Config) -> HumanAgreement | None:
    """Compare a judge with people.

    Args:
        judged: grades of the LLM, 0 to 3.
        people: human judgements, relevant above 0. Where they hold no passage that is not relevant, people named
            relevant ones alone, and those that they did not name count as not relevant.

    Returns:
        None where people judged none of the queries.
    """
    shared = {query_id: grades for query_id, grades in judged.items() if people.get(query_id) and grades}
    if not shared:
        return None
    assumed = all(grade > 0 for query_id in shared for grade in people[query_id].values())
    pairs = [
        (int(people[query_id].get(each, 0) > 0), int(grade >= RELEVANT_TO_JUDGE))
        for query_id, grades in shared.items()
        for each, grade in grades.items()
        if assumed or each in people[query_id]
    ]
    by_people = _measured(runs, {query_id: people[query_id] for query_id in shared}, config, 1)
    by_judge = _measured(runs, shared, config, RELEVANT_TO_JUDGE)
    return HumanAgreement(
        queries=len(shared),
        passages=len(pairs),
        assumed=assumed,
        kappa=cohen_kappa([one for one, _ in pairs], [other for _, other in pairs]),
        tau=order_agreement(by_judge, by_people),
        by_judge=by_judge,
        by_people=by_people,
    )


def order_agreement(one: EvaluationTable, other: EvaluationTable) -> float | None:
    """Kendall's tau-b of the order that two tables give the same systems, by mean of the main measure.

    None where one of them finds no difference.
    """
    means = (np.array([system.values[table.measures[0]] for system in table.systems]) for table in (one, other))
    return kendall_tau(*means)


def _measured(runs: Mapping[str, Run], qrels: Qrels, config: Config, relevant_from: int) -> EvaluationTable:
    measures = config.evaluation.measures[:1]
    values = {name: per_query(run, qrels, measures, relevant_from) for name, run in runs.items()}
    return tabulate(values, count_missing(runs, qrels), BEFORE, config.seed, config.evaluation.resamples)


def self_consistency(graded: Sequence[GradedAnswer]) -> SelfConsistency:
    """Compare a judge's grades of the same passages in two orders."""
    pairs: list[tuple[int, int]] = []
    changed = earlier = told_apart = 0
    given: list[int] = []
    for each in graded:
        first, second = each.grades[:2]
        given += [*first.values(), *second.values()]
        told_apart += len(set(first.values())) > 1 or len(set(second.values())) > 1
        one_place, other_place = each.places[:2]
        for passage_id in first.keys() & second.keys():
            one, other = first[passage_id], second[passage_id]
            pairs.append((one, other))
            if one != other and one_place[passage_id] != other_place[passage_id]:
                changed += 1
                earlier += (one > other) == (one_place[passage_id] < other_place[passage_id])
    far = sum(abs(one - other) > 1 for one, other in pairs)
    return SelfConsistency(
        queries=len(graded),
        told_apart=told_apart,
        commonest=max(set(given), key=given.count, default=0),
        passages=len(pairs),
        kappa=cohen_kappa([one for one, _ in pairs], [other for _, other in pairs], weighted=True) if pairs else None,
        far=far,
        by_chance=_by_chance(pairs, far),
        changed=changed,
        earlier=earlier,
    )


def _by_chance(pairs: Sequence[tuple[int, int]], far: int) -> float:
    """The share r of grades that, drawn evenly from the four, would make as many pairs differ by 2 or more.

    Of a pair one grade is drawn with probability 2 r (1 - r), and then lies that far from the other in two of four
    cases where that is 0 or 3, else in one; both are drawn with r^2, and lie that far apart in six of sixteen.
    Neighbouring grades are not counted, for a judge may well waver between them.
    """
    if not pairs:
        return 0.0
    outer = [grade in (0, HIGHEST) for pair in pairs for grade in pair]
    one = 0.25 + 0.25 * sum(outer) / len(outer)
    both, share = 6 / 16, far / len(pairs)
    # share = 2 r (1 - r) one + r^2 both
    square, linear = both - 2 * one, 2 * one
    inside = linear**2 + 4 * square * share
    return min(1.0, (-linear + math.sqrt(max(0.0, inside))) / (2 * square))
