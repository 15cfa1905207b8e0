"""Why a retriever may not have got better, and what to try: read from figures that the run has anyway."""

from __future__ import annotations

from collections.abc import Iterator

from rankstill.evaluation.agreement import TAU, Agreement
from rankstill.evaluation.significance import Comparison
from rankstill.evaluation.systems import BEFORE, BM25, FIRST_STAGE, RANKER

_SURE = 0.05
_FLAT = 0.95
"""The share of the highest possible entropy above which labels count as flat. Ten passages whose best is three times as
likely as each other one have 0.96."""
_ANY_ORDER = (BM25, BEFORE, FIRST_STAGE, RANKER)


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
            f"Too few lists: {symptoms.lists:,} taught, and on SciFact {symptoms.enough} were needed. Have the LLM "
            "rank more queries. If you have no more, `rankstill write-queries` has the LLM write some."
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
