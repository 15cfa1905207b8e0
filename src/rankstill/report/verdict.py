"""The verdict: whether the new retriever is better, in one sentence with its interval, or what to do to know."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rankstill.evaluation import EvaluationTable
from rankstill.evaluation.systems import (
    AFTER,
    BEFORE,
    HYBRID_AFTER,
    HYBRID_BEFORE,
    MULTI_VECTOR,
    MULTI_VECTOR_HYBRID,
)
from rankstill.report.showing import signed

_SURE = 0.05
_OTHERS = {
    HYBRID_BEFORE: "`hybrid.json` with the old retriever",
    HYBRID_AFTER: "`hybrid-distilled.json` with `retriever`",
    MULTI_VECTOR: "`multi-vector`",
    MULTI_VECTOR_HYBRID: "`hybrid-multi-vector.json` with `multi-vector`",
}
"""Retrievers that a run makes besides, and the files that they are, in the workspace."""


@dataclass(frozen=True)
class Verdict:
    """What may be said.

    Args:
        kind: "better" or "worse" where interval and corrected test both say so; "open" where they do not; "none" if
            nothing was measured.
        sentence: the finding, with its interval.
        test: how sure it is, and on how many queries.
        why: nothing was measured, short; empty where something was.
        advice: what to do, with commands and files in backticks: where nothing was measured, or where another retriever
            of the run scores higher.
    """

    kind: Literal["better", "worse", "open", "none"]
    sentence: str
    test: str = ""
    why: str = ""
    advice: str = ""


def verdict(table: EvaluationTable | None, workspace: Path, missing: str | None = None, offer: str = "") -> Verdict:
    """Judge the retriever AFTER against the one before, on the table's main measure.

    Better or worse takes both: a 95 % interval that does not hold 0, and p below 0.05 after Holm's correction.

    Args:
        table: what was measured; None if nothing was.
        workspace: where, for the commands of the advice.
        missing: the step that the chain has to make next; None if it is finished.
        offer: how to have an LLM judge what nobody has judged.
    """
    if table is None:
        return _unmeasured(workspace, missing, offer)
    measure = table.measures[0]
    comparisons = table.system(AFTER).comparisons
    assert comparisons is not None, f"{BEFORE} is the baseline"
    found = comparisons[measure]
    p_value = table.adjusted_p(measure)[AFTER]
    sure = p_value < _SURE
    kind: Literal["better", "worse", "open"] = "open"
    if sure and found.low > 0:
        kind = "better"
    elif sure and found.high < 0:
        kind = "worse"
    head = {
        "better": "The distilled retriever is better",
        "worse": "The distilled retriever is worse",
        "open": "Whether the distilled retriever is better, these queries cannot tell",
    }[kind]
    judged = f", judged by {table.judged_by}" if table.judged_by else ""
    compared = sum(system.comparisons is not None for system in table.systems)
    return Verdict(
        kind,
        f"{head}: {measure} goes from {found.before:.3f} to {found.after:.3f}, by {signed(found.difference)} "
        f"(95 % interval {signed(found.low)} to {signed(found.high)}).",
        f"On {found.n:,} test {'query' if found.n == 1 else 'queries'}{judged}: {found.wins:,} better, "
        f"{found.losses:,} worse, {found.ties:,} unchanged. Paired randomisation test: p\u00a0=\u00a0{p_value:.4f}, "
        f"Holm-corrected for {compared} {'comparison' if compared == 1 else 'comparisons'}.",
        advice=_higher(table),
    )


def _higher(table: EvaluationTable) -> str:
    """Which other retriever of the run scores highest, if higher than both the distilled one and the old one."""
    measure = table.measures[0]
    values = {system.name: system.values[measure] for system in table.systems}
    best = max((name for name in _OTHERS if name in values), key=values.__getitem__, default=AFTER)
    if values[best] <= max(values[AFTER], values[BEFORE]):
        return ""
    return (
        f"Of what this run made, another retriever scores highest: {best}, with {measure} {values[best]:.3f}. It is "
        f"{_OTHERS[best]}; see docs/guides/deploy.md."
    )


def next_step(finished: Collection[str], unneeded: Collection[str] = ()) -> str | None:
    """The first step of the chain that is not finished; None if its last one is.

    Args:
        finished: names of steps.
        unneeded: steps that this chain does without.
    """
    from rankstill.pipeline import STEPS

    if STEPS[-1] in finished:
        return None
    return next(step for step in STEPS if step not in finished and step not in unneeded)


def _unmeasured(workspace: Path, missing: str | None, offer: str) -> Verdict:
    place = shlex.quote(str(workspace))
    if missing is None:
        by_llm = offer or f"Have an LLM judge some: `rankstill judge {place} --dry-run` says at what price."
        return Verdict(
            "none",
            "The chain is finished. No test query is judged, so nobody can say whether the distilled retriever is "
            "better.",
            why="no test query is judged",
            advice=f"{by_llm} Or judge some yourself: `rankstill serve {place}`, mark some passages, then `rankstill "
            f"votes {place} --to judged`.",
        )
    command = f"rankstill run {shlex.quote(str(workspace / 'config.yaml'))} -w {place}"
    return Verdict(
        "none",
        "The chain is not finished, so nobody can say yet whether the distilled retriever is better.",
        why=f'the chain is not finished; its next step is "{missing}"',
        advice=f'Its next step is "{missing}": `{command}` goes on there.',
    )
