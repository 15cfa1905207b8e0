"""The verdict: whether the new retriever is better, in one sentence with its interval, or what to do to know.

Where it is not better, figures that the run has anyway say what may be the cause; and `push` and `export` refuse it.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from rankstill.errors import RankstillError
from rankstill.evaluation import Comparison, EvaluationTable, holm, systems
from rankstill.evaluation.agreement import TAU, Agreement
from rankstill.report.reading import read_workspace
from rankstill.report.showing import signed
from rankstill.steps import STEPS, title

_SURE = 0.05
_OTHERS = {
    systems.HYBRID_BEFORE: "`hybrid.json` with the old retriever",
    systems.HYBRID_DISTILLED: "`hybrid-distilled.json` with `retriever`",
    systems.MULTI_VECTOR: "`multi-vector`",
    systems.MULTI_VECTOR_HYBRID: "`hybrid-multi-vector.json` with the old retriever and `multi-vector`",
    systems.MULTI_VECTOR_DISTILLED: "`multi-vector-distilled`",
    systems.MULTI_VECTOR_HYBRID_DISTILLED: "`hybrid-multi-vector-distilled.json` with `retriever` and "
    "`multi-vector-distilled`",
}
"""Retrievers that a run makes besides, and the files that they are, in the workspace."""
_SUBJECTS = {
    systems.HYBRID_BEFORE: "the hybrid",
    systems.MULTI_VECTOR_HYBRID: "the multi-vector hybrid",
    systems.DISTILLED: "the distilled retriever",
    systems.MULTI_VECTOR: "the multi-vector retriever",
    systems.MULTI_VECTOR_DISTILLED: "the distilled multi-vector retriever",
}

Kind = Literal["better", "worse", "open", "none"]
_MOST = 0.5
"""The share of the ranker's gain below which the new retriever lacks most of it."""
_FLAT = 0.95
"""The share of the highest possible entropy above which labels count as flat. Ten passages whose best is three times as
likely as each other one have 0.96."""
_ANY_ORDER = (systems.BM25, systems.BEFORE, systems.FIRST_STAGE, systems.RANKER)


@dataclass(frozen=True)
class Verdict:
    """The conclusion of a run: what its figures allow to say.

    Args:
        kind: "better" or "worse" where interval and corrected test both say so; "open" where they do not; "none" if
            nothing was measured.
        sentence: the finding, with its interval, and how the free rivals compare.
        test: how sure it is, and on how many queries or lists.
        rivals: the sentence's end: how the free rivals compare; empty where none was measured.
        agreement: the same by agreement with the LLM, where the sentence is by judgements; else empty.
        cause: likely causes, and what to try, where it is not better; else empty.
        why: no judged query was measured, short; empty where some were.
        advice: what to do, with commands and files in backticks: where nothing was measured, or where another retriever
            of the run scores higher.
    """

    kind: Kind
    sentence: str
    test: str = ""
    rivals: str = ""
    agreement: str = ""
    cause: str = ""
    why: str = ""
    advice: str = ""

    @property
    def finding(self) -> str:
        """The sentence without the rivals."""
        return self.sentence.removesuffix(self.rivals).rstrip()

    @property
    def not_better(self) -> bool:
        """Whether something was measured, and did not show it to be better."""
        return self.kind in ("worse", "open")

    def lines(self) -> list[str]:
        """All there is to say, the finding first."""
        return [each for each in (self.sentence, self.test, self.agreement, self.cause, self.advice) if each]


def verdict(
    table: EvaluationTable | None,
    workspace: Path,
    missing: str | None = None,
    offer: str = "",
    agreement: Agreement | None = None,
    system: str = systems.DISTILLED,
) -> Verdict:
    """Judge a new retriever against the one before: by judged queries, or, without any, by agreement with the LLM.

    Better or worse takes both: a 95 % interval that does not hold 0, and p below 0.05 after Holm's correction.

    Args:
        table: what was measured on judged queries, judged on its main measure; None if nothing was.
        missing: the step that the chain has to make next; None if it is finished.
        agreement: what was measured on the LLM's held-out lists; None if that step is not made.
        system: what is judged: one of `systems.RETRIEVERS`, or a hybrid.
    """
    by_lists = _by_lists(agreement, system) if agreement is not None else None
    if table is not None and _has(table, system):
        found = _by_judgements(table, system, by_lists)
    elif by_lists is not None and missing is None:
        unjudged = _unmeasured(workspace, missing, offer)
        advice = f"{by_lists.advice} No test query is judged. {unjudged.advice}".lstrip()
        found = replace(by_lists, why=unjudged.why, advice=advice)
    else:
        return _unmeasured(workspace, missing, offer)
    if agreement is not None and found.not_better:
        return replace(found, cause=likely_causes(agreement))
    return found


def _by_judgements(table: EvaluationTable, system: str, by_lists: Verdict | None) -> Verdict:
    kind = _kind(table, system)
    judged = f", judged by {table.judged_by}" if table.judged_by else ""
    finding, rivals = _finding(table, system, kind), _rivals(table, system)
    return Verdict(
        kind,
        f"{finding[0].upper()}{finding[1:]} {rivals}".rstrip(),
        f"On {_counted(table.n, 'test query', 'test queries')}{judged}: {_test(table, system)}",
        rivals,
        agreement=f"{by_lists.finding} {by_lists.test}" if by_lists else "",
        advice=_higher(table, system),
    )


def _by_lists(agreement: Agreement, system: str) -> Verdict | None:
    """The verdict by agreement with the LLM alone; None where no list is held out."""
    table = agreement.table
    if table is None or not _has(table, system):
        return None
    kind, rivals, higher = _kind(table, system), _rivals(table, system), _higher(table, system)
    return Verdict(
        kind,
        f"By {agreement.name}, {_finding(table, system, kind)} {rivals}".rstrip(),
        f"On {_counted(table.n, 'list', 'lists')}: {_test(table, system)} This does not cover passages outside the "
        "lists, and does not show whether the LLM is right.",
        rivals,
        advice=f"By {agreement.name}: {higher}" if higher else "",
    )


def _has(table: EvaluationTable, system: str) -> bool:
    return any(each.name == system for each in table.systems)


def _compared(table: EvaluationTable, system: str) -> Comparison:
    comparisons = table.system(system).comparisons
    assert comparisons is not None, f"{systems.BEFORE} is the baseline"
    return comparisons[table.measures[0]]


def _kind(table: EvaluationTable, system: str) -> Kind:
    return _sure(_compared(table, system), table.adjusted_p(table.measures[0])[system])


def _sure(found: Comparison, p_value: float) -> Kind:
    if p_value < _SURE and found.low > 0:
        return "better"
    return "worse" if p_value < _SURE and found.high < 0 else "open"


def _finding(table: EvaluationTable, system: str, kind: Kind) -> str:
    """The finding on the main measure, as a sentence that begins in lower case."""
    found, measure, subject = _compared(table, system), table.measures[0], _SUBJECTS[system]
    if found.ties == found.n:
        return f"{subject} is not better: {measure} stays at {found.before:.3f}, unchanged on every query."
    heads = {"better": "is better", "worse": "is worse", "open": "is not shown to be better"}
    return (
        f"{subject} {heads[kind]}: {measure} goes from {found.before:.3f} to {found.after:.3f}, by "
        f"{signed(found.difference)} (95 % interval {signed(found.low)} to {signed(found.high)})."
    )


def _test(table: EvaluationTable, system: str) -> str:
    found = _compared(table, system)
    p_value = table.adjusted_p(table.measures[0])[system]
    compared = sum(each.comparisons is not None for each in table.systems)
    p_in_words = found.p_in_words(p_value).replace(" ", "\u00a0")
    return (
        f"{found.wins:,} better, {found.losses:,} worse, {found.ties:,} unchanged. Paired randomisation test: "
        f"{p_in_words}, Holm-corrected for {_counted(compared, 'comparison', 'comparisons')}."
    )


def _counted(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _rivals(table: EvaluationTable, system: str) -> str:
    """How the distilled retriever compares with each search that needs no training; empty where none was measured."""
    if system != systems.DISTILLED or not table.rivals:
        return ""
    adjusted = holm([found.p_value for found in table.rivals.values()])
    by_kind: dict[Kind, list[str]] = {"better": [], "open": [], "worse": []}
    for (name, found), p_value in zip(table.rivals.items(), adjusted, strict=True):
        by_kind[_sure(found, p_value)].append(f"{name} ({found.before:.3f})")
    heads = {"better": "better than", "open": "not shown to be better than", "worse": "worse than"}
    told = "; ".join(f"{heads[kind]} {', '.join(names)}" for kind, names in by_kind.items() if names)
    return f"Against the free rivals, which need no training: {told}."


def highest(table: EvaluationTable, system: str = systems.DISTILLED) -> str:
    """The other retriever of the run that scores highest, if higher than the new and the old one; else the new one."""
    values = {each.name: each.values[table.measures[0]] for each in table.systems}
    best = max((name for name in _OTHERS if name in values), key=values.__getitem__, default=system)
    known = (values[each] for each in (system, systems.BEFORE, systems.DISTILLED) if each in values)
    return best if values[best] > max(known) else system


def _higher(table: EvaluationTable, system: str) -> str:
    """Which other retriever of the run scores highest, and how much of the ranker's gain the new one lacks."""
    best, measure = highest(table, system), table.measures[0]
    if best == system:
        return ""
    found, p_value = _compared(table, best), table.adjusted_p(measure)[best]
    p_in_words = found.p_in_words(p_value).replace(" ", "\u00a0")
    return (
        f"{_kept(table, system)}Another retriever of this run scores highest: {best}, with {measure} "
        f"{found.after:.3f}. That is {signed(found.difference)} against the old retriever ({p_in_words}, "
        f"Holm-corrected). It is {_OTHERS[best]}; see docs/guides/deploy.md."
    )


def _kept(table: EvaluationTable, system: str) -> str:
    """How much of the ranker's gain over the old retriever the new one has, where that is less than half of a sure
    one."""
    if not _has(table, systems.RANKER) or _kind(table, systems.RANKER) != "better":
        return ""
    measure = table.measures[0]
    ranker, kept = _compared(table, systems.RANKER), _compared(table, system).difference
    if kept >= _MOST * ranker.difference:
        return ""
    one_vector = " One vector may be too small for the rest." if system == systems.DISTILLED else ""
    return (
        f"The ranker has {measure} {ranker.after:.3f}; {_SUBJECTS[system]} holds "
        f"{max(kept / ranker.difference, 0):.0%} of its gain.{one_vector} "
    )


def next_step(finished: Collection[str], unneeded: Collection[str] = ()) -> str | None:
    """The first step of the chain that is not finished; None if its last one is.

    Args:
        unneeded: steps that this chain does without.
    """
    if STEPS[-1] in finished:
        return None
    return next(step for step in STEPS if step not in finished and step not in unneeded)


def _unmeasured(workspace: Path, missing: str | None, offer: str) -> Verdict:
    place = shlex.quote(str(workspace))
    if missing is None:
        command = f"rankstill judge {place} --set judge.model=NAME --dry-run"
        by_llm = offer or f"Have an LLM judge some: `{command}` shows the price."
        return Verdict(
            "none",
            "The chain is finished. No test query is judged, so it is not known whether the distilled retriever is "
            "better.",
            why="no test query is judged",
            advice=f"{by_llm} Or judge some yourself: `rankstill serve {place}`, mark some passages, then `rankstill "
            f"votes {place} --to judged`.",
        )
    command = f"rankstill run {shlex.quote(str(workspace / 'config.yaml'))} -w {place}"
    return Verdict(
        "none",
        "The chain is not finished, so it is not yet known whether the distilled retriever is better.",
        why=f'the chain is not finished; its next step is "{title(missing)}"',
        advice=f'Its next step is "{title(missing)}": `{command}` goes on there.',
    )


def refuse_if_not_better(workspace: Path, system: str = systems.DISTILLED) -> None:
    """Whether a workspace's new retriever may go out: it is better than the old one, or nothing could be measured.

    Args:
        system: the retriever in question, one of `systems.RETRIEVERS`.

    Raises:
        RankstillError: it is worse, or not shown to be better; or the last run did not make it.
        WorkspaceError: there is no such workspace.
    """
    finished = read_workspace(workspace)
    tables = (finished.table, finished.agreement and finished.agreement.table)
    measured = [[each.name for each in table.systems] for table in tables if table]
    if measured and not any(system in names for names in measured):
        raise RankstillError(f"{workspace}: its last run made no {system}. Run with the options that make one.")
    found = verdict(finished.table, workspace, agreement=finished.agreement, system=system)
    if found.not_better:
        raise RankstillError(f"{found.sentence} To continue anyway, add --even-if-worse.")


def likely_causes(agreement: Agreement) -> str:
    """In a sentence or two each, the likeliest first; what to look at where nothing stands out."""
    found = [*_too_few(agreement), *_poor_teacher(agreement), *_flat(agreement)]
    if not found:
        return (
            "No likely cause stands out. `rankstill prove` says which link of the chain lost most and for which "
            "queries, and `rankstill check-teacher` whether the LLM ranks better than the first stage."
        )
    return f"Likely {'cause' if len(found) == 1 else 'causes'}: {' '.join(found)}"


def _too_few(agreement: Agreement) -> Iterator[str]:
    symptoms = agreement.symptoms
    if symptoms.lists < symptoms.enough:
        yield (
            f"Too few lists: {symptoms.lists:,} taught, and {symptoms.enough} gave a gain on two public corpora. Have "
            "the LLM rank more queries. If you have no more, `rankstill write-queries` has the LLM write some."
        )


def _poor_teacher(agreement: Agreement) -> Iterator[str]:
    """An LLM that ranks no better than the first stage; by judgements, where there are some, else by what it shows."""
    table, symptoms = agreement.table, agreement.symptoms
    judged, learned = symptoms.by_people, symptoms.carried_over
    another = "Try another LLM or prompt: `rankstill check-teacher` compares them on a few queries."
    if judged is not None:
        if not _better(judged):
            yield (
                f"The LLM ranks no better than the first stage on the {judged.n:,} held-out lists with judgements "
                f"(nDCG@10 {judged.after:.3f} against {judged.before:.3f}). {another}"
            )
        return
    if table is None:
        return
    taus = {each.name: each for each in table.systems if each.name in _ANY_ORDER}
    if all(each.intervals[TAU][0] <= 0 for each in taus.values()):
        highest = max(each.values[TAU] for each in taus.values())
        yield (
            f"No system's order is like the LLM's on the held-out lists ({TAU} at most {highest:.2f}, which may be 0): "
            f"it may rank at random. {another}"
        )
    elif learned is not None and not _better(learned):
        yield (
            "The LLM's lists say little that the first stage does not: the ranker, which learned from them, agrees "
            f"with the LLM on other lists no better than the first stage ({learned.after:.3f} against "
            f"{learned.before:.3f}). {another}"
        )


def _flat(agreement: Agreement) -> Iterator[str]:
    even = agreement.symptoms.evenness
    if even is not None and even > _FLAT:
        yield (
            f"Labels that are too flat: {even:.1%} of the highest possible entropy, so that hardly any passage is "
            "better than another. retriever.teacher_temperature below 1 sharpens them."
        )


def _better(found: Comparison) -> bool:
    return found.p_value < _SURE and found.low > 0
