"""The chain beside what it would replace: searches that nothing is learned for, and other teachers."""

from __future__ import annotations

from rankstill.evaluation.systems import (
    BM25,
    FIRST_STAGE,
    HYBRID_BEFORE,
    HYBRID_DISTILLED,
    MULTI_VECTOR,
    MULTI_VECTOR_HYBRID,
    RANKER,
    RANKER_ON_DISTILLED,
)
from rankstill.extras.studies.variants import BY_RANKER, DIRECT, StudyData, Variant

_AS_THEY_ARE = {"multi_vector.context": 0.0, "multi_vector.idf_power": 0.0}


def baselines(material: StudyData) -> tuple[Variant, ...]:
    """What can be taught or searched with what there is, against the chain."""
    taught: dict[str, str] = {"gold": "the judged passages against the others"}
    if material.lists:
        taught |= {"llm": "the LLM's order", "first-choice": "the LLM's first choice against the others"}
    if material.answers:
        taught |= {
            "pdist": "log p(answer | passage)",
            "replug-lsr": "p(answer | passage), REPLUG's loss",
            "emdr2": "log p(answer | passage), marginalised",
            "loop": "what leaving the passage out costs the answer",
            "adist": "the answer's attention to the passage",
        }
    against = "chain" if material.lists else None
    others = (
        Variant("bm25", "BM25", {}, against, system=BM25),
        Variant("first-stage", "first stage: BM25 and the retriever before, fused", {}, against, system=FIRST_STAGE),
        *(
            Variant(name, f"{name}: {what}", {**DIRECT, "labels.ranked_by": name}, against)
            for name, what in taught.items()
        ),
    )
    if not material.lists:
        return others
    margin_mse = {**BY_RANKER, "retriever.loss": "margin-mse"}
    hybrids = (
        Variant("hybrid", "BM25 and the retriever before, weights from the LLM's lists", {}, system=HYBRID_BEFORE),
        Variant(
            "hybrid-distilled",
            "BM25 and the chain's retriever, weights likewise",
            {},
            "hybrid",
            system=HYBRID_DISTILLED,
        ),
        Variant("maxsim", "the same encoder's token vectors as they are", _AS_THEY_ARE, system=MULTI_VECTOR),
        Variant("multi-vector", "matched as the LLM's lists choose", {}, "maxsim", system=MULTI_VECTOR),
        Variant(
            "multi-vector-hybrid",
            "BM25 and that, weights from the LLM's lists",
            {},
            "hybrid",
            system=MULTI_VECTOR_HYBRID,
        ),
    )
    by_lists = (
        Variant("margin-mse", "margin-mse: the ranker's labels of the same lists, GPL's loss", margin_mse, "chain"),
        Variant("chain", "the chain: its retriever", {}),
    )
    on_top = {
        "ranker": ("the chain's ranker on top of the first stage", RANKER),
        "ranker-on-distilled": ("the chain's ranker on top of BM25 and its retriever, fused", RANKER_ON_DISTILLED),
    }
    reranked = (Variant(name, what, {}, "first-stage", system=system) for name, (what, system) in on_top.items())
    if not material.has_ranker:
        return (*others, *by_lists)
    return (*hybrids, *others, *by_lists, *reranked)
