"""The studies that there are, and their variants."""

from __future__ import annotations

from typing import Any

from rankstill.config import Config
from rankstill.config.files import PAPER
from rankstill.evaluation.systems import (
    BM25,
    DISTILLED,
    FIRST_STAGE,
    HYBRID_BEFORE,
    HYBRID_DISTILLED,
    MULTI_VECTOR,
    MULTI_VECTOR_HYBRID,
    RANKER,
    RANKER_ON_DISTILLED,
)
from rankstill.extras.studies.variants import BY_RANKER, DIRECT, ListKind, Study, StudyData, Variant

_CROSS_ENCODER = {**BY_RANKER, "ranker.cross_encoder": True}
_NO_PRIOR = {**_CROSS_ENCODER, "ranker.prior": False}
_PAPER = {f"{section}.{option}": value for section, options in PAPER.items() for option, value in options.items()}

_Parts = dict[str, tuple[str, dict[str, Any]]]
"""Name -> in words, and what it changes."""
_OF_THE_CHAIN: _Parts = {
    "n10": ("10 labelled passages a query", {"candidates.n": 10}),
    "llm-order": ("the LLM's order where it ranked, with the ranker's magnitudes", {"labels.ranked_by": "both"}),
    "teacher-temperature-half": ("teacher temperature 0.5", {"retriever.teacher_temperature": 0.5}),
    "teacher-temperature-double": ("teacher temperature 2", {"retriever.teacher_temperature": 2.0}),
    "student-temperature-0.05": ("student temperature 0.05", {"retriever.student_temperature": 0.05}),
    "student-temperature-0.1": ("student temperature 0.1", {"retriever.student_temperature": 0.1}),
    "all-new": ("all of what training changed is kept", {"retriever.blend": 1.0}),
    "own-passages": ("KL over a query's own passages alone", {"retriever.in_batch": False}),
}
_OF_DIRECT_TRAINING: _Parts = {
    "blend": ("half the old weights blended in", {"retriever.blend": 0.5}),
    "own-passages": ("KL over a query's own passages alone", {"retriever.in_batch": False}),
    "student-temperature-0.05": ("student temperature 0.05", {"retriever.student_temperature": 0.05}),
}
_AS_THEY_ARE = {"multi_vector.context": 0.0, "multi_vector.idf_power": 0.0}
_ROUTES: dict[str, tuple[str, dict[str, Any], str]] = {
    "direct": ("straight into the encoder", DIRECT, DISTILLED),
    "chain": ("through the chain", {}, DISTILLED),
    "hybrid": ("as the two weights of BM25 and the retriever before", {}, HYBRID_BEFORE),
    "ranker": ("as the ranker on the first stage", {}, RANKER),
}
"""Name -> how the lists teach, in words; what that changes in the configuration; and which system is measured."""


def ablations(material: StudyData) -> tuple[Variant, ...]:
    """Parts of the chain against the chain, parts of direct training against direct training, and other rankers."""
    return (
        Variant("chain", "the chain", {}),
        Variant("chain-k5", "lists of 5", {}, against="chain", k=5),
        *(
            Variant(f"chain-{name}", what, changes, against="chain")
            for name, (what, changes) in (_OF_THE_CHAIN | _other_rankers(material.config)).items()
        ),
        Variant("direct", "the LLM's order straight into the encoder: no ranker", DIRECT, against="chain"),
        *(
            Variant(f"direct-{name}", f"no ranker, {what}", {**DIRECT, **changes}, against="direct")
            for name, (what, changes) in _OF_DIRECT_TRAINING.items()
        ),
        Variant("direct-k5", "no ranker, lists of 5", DIRECT, "direct", k=5),
        *_by_ranker(),
    )


def _other_rankers(config: Config) -> _Parts:
    """Those that the configuration does not have already."""
    parts: _Parts = {}
    if config.ranker.prior:
        parts["paper"] = ("the paper's plain chain", _PAPER)
    if not config.ranker.cross_encoder:
        parts["cross-encoder"] = ("the ranker with a cross-encoder on top", {"ranker.cross_encoder": True})
    elif config.ranker.prior:
        parts["prior-alone"] = ("the ranker without its cross-encoder", {"ranker.cross_encoder": False})
    return parts


def _by_ranker() -> tuple[Variant, ...]:
    """Rankers compared by what their labels of the same lists teach the encoder."""
    both = {**BY_RANKER, "labels.ranked_by": "both"}
    of_30 = {**BY_RANKER, "candidates.n": 30, "retriever.passages_per_query": 30}
    labels = "the ranker's labels"
    return (
        Variant("direct-by-ranker", f"{labels} of the same lists into the encoder", BY_RANKER, "direct"),
        Variant("direct-by-both", "the LLM's order with the ranker's magnitudes into the encoder", both, "direct"),
        Variant("direct-n30", f"{labels} of 30 passages a query into the encoder", of_30, "direct-by-ranker"),
        Variant(
            "direct-cross-encoder",
            f"{labels} into the encoder, the ranker a prior and a cross-encoder",
            _CROSS_ENCODER,
            "direct-by-ranker",
        ),
        Variant(
            "direct-no-prior",
            f"{labels} into the encoder, the ranker a cross-encoder without a prior",
            _NO_PRIOR,
            "direct-cross-encoder",
        ),
        *(
            Variant(
                f"direct-{loss}",
                f"the same, the ranker's loss: {loss}",
                {**_NO_PRIOR, "ranker.loss": loss},
                "direct-no-prior",
            )
            for loss in ("plistmle", "listnet", "ranknet", "lambda")
        ),
    )


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
            "the hybrid with that as its third part",
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


def sizes(material: StudyData) -> tuple[Variant, ...]:
    """Fewer lists against all of them, by every route."""
    lists = material.lists
    sizes = [*(size for size in (50, 100, 200, 400) if size < lists), lists]
    return tuple(
        Variant(
            f"{route}-{size}",
            f"{size} lists, {how}",
            changes,
            against=f"{route}-{lists}" if size < lists else None,
            size=size if size < lists else None,
            system=system,
        )
        for route, (how, changes, system) in _ROUTES.items()
        for size in sizes
    )


def kinds_of_list(_: StudyData) -> tuple[Variant, ...]:
    """Other orders of the same passages against the LLM's, by every route; one passage against the others, direct."""
    one_passage = {
        "gold": "the judged passages against the others, no LLM, straight into the encoder",
        "first-choice": "the LLM's first choice against the others, straight into the encoder",
    }
    return (
        *_orders("direct"),
        *(
            Variant(f"direct-{name}-alone", what, {**DIRECT, "labels.ranked_by": name}, "direct-llm")
            for name, what in one_passage.items()
        ),
        *(each for route in ("chain", "hybrid", "ranker") for each in _orders(route)),
    )


def _orders(route: str) -> tuple[Variant, ...]:
    how, changes, system = _ROUTES[route]
    kinds: dict[ListKind, str] = {
        "llm": "the LLM's order",
        "gold-llm": "gold moved to the front of the LLM's order",
        "gold-first-stage": "gold moved to the front of the first stage's order",
        "first-stage": "the first stage's own order",
        "random": "a random order",
    }
    return tuple(
        Variant(
            f"{route}-{kind}",
            f"{what}, {how}",
            changes,
            None if kind == "llm" else f"{route}-llm",
            lists=kind,
            system=system,
        )
        for kind, what in kinds.items()
    )


STUDIES = {
    study.name: study
    for study in (
        Study("size", "How many LLM-ranked lists does it take?", sizes),
        Study("lists", "What kind of list teaches a retriever best?", kinds_of_list),
        Study("ablations", "What is each part of the chain worth?", ablations),
        Study("baselines", "Is the chain better than what it would replace?", baselines),
    )
}
