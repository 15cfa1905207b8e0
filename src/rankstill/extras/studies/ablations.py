"""The chain without each of its parts, or with it otherwise."""

from __future__ import annotations

from typing import Any

from rankstill.config import Config
from rankstill.config.files import PAPER
from rankstill.extras.studies.variants import BY_RANKER, DIRECT, StudyData, Variant

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
    both = {**DIRECT, "labels.ranked_by": "both"}
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
