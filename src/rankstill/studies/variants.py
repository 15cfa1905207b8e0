"""What each study compares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rankstill.config import Config
from rankstill.config.files import PAPER
from rankstill.evaluation.systems import AFTER, BM25, FIRST_STAGE, RANKER, RANKER_ON_AFTER, UNTRAINED
from rankstill.studies.lists import ListKind

DIRECT: dict[str, Any] = {
    "labels.ranked_by": "llm",
    "labels.pseudo_queries": 0,
    "retriever.epochs": 1,
    "head.width": 0,
    "head.token_dimensions": 0,
}
"""No ranker in between: the encoder itself is trained on the order, by KL divergence with in-batch negatives."""
_BY_RANKER = {**DIRECT, "labels.ranked_by": "ranker"}
_CROSS_ENCODER = {**_BY_RANKER, "ranker.cross_encoder": True}
_NO_PRIOR = {**_CROSS_ENCODER, "ranker.prior": False, "labels.pseudo_by": "ranker"}
_PAPER = {f"{section}.{option}": value for section, options in PAPER.items() for option, value in options.items()}
_ROUTES: dict[str, tuple[str, dict[str, Any]]] = {
    "direct": ("straight into the encoder", DIRECT),
    "chain": ("through the chain", {}),
}


@dataclass(frozen=True)
class Variant:
    """One experiment of a study.

    Args:
        name: unique in its study, fit for a file name.
        what: it is, in words.
        changes: to the configuration, by dotted path.
        against: the variant that it is compared with; None: the retriever before.
        lists: what the teacher's lists become.
        size: how many of them there are; None: all.
        k: passages of a list; None: all that the LLM was shown.
        system: what is measured of its chain, one of the names in `evaluation.systems`.
    """

    name: str
    what: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    against: str | None = None
    lists: ListKind = "llm"
    size: int | None = None
    k: int | None = None
    system: str = AFTER

    @property
    def trained(self) -> bool:
        """Whether a seed makes a difference."""
        return self.system not in UNTRAINED


@dataclass(frozen=True)
class Material:
    """What a study has to work with.

    Args:
        lists: the LLM-ranked lists there are.
        answers: whether training queries have accepted answers, which the white-box methods read.
        config: what the variants change.
        has_ranker: whether a ranker is trained by it.
    """

    lists: int
    answers: bool
    config: Config
    has_ranker: bool


@dataclass(frozen=True)
class Study:
    """A question and the variants that answer it.

    Args:
        name: of the command.
        question: in one sentence.
        variants: those that can be taught with what there is.
    """

    name: str
    question: str
    variants: Callable[[Material], tuple[Variant, ...]]


def _sizes(material: Material) -> tuple[Variant, ...]:
    lists = material.lists
    sizes = [*(size for size in (50, 100, 200, 400) if size < lists), lists]
    return tuple(
        Variant(
            f"{route}-{size}",
            f"{size} lists, {how}",
            changes,
            against=f"{route}-{lists}" if size < lists else None,
            size=size if size < lists else None,
        )
        for route, (how, changes) in _ROUTES.items()
        for size in sizes
    )


def _lists(_: Material) -> tuple[Variant, ...]:
    kinds: dict[ListKind, str] = {
        "llm": "the LLM's order",
        "gold-llm": "gold moved to the front of the LLM's order",
        "gold-first-stage": "gold moved to the front of the first stage's order",
        "first-stage": "the first stage's own order",
        "random": "a random order",
    }
    orders = [
        Variant(
            f"{route}-{kind}",
            f"{what}, {how}",
            changes,
            against=f"{route}-llm" if kind != "llm" else None,
            lists=kind,
        )
        for route, (how, changes) in _ROUTES.items()
        for kind, what in kinds.items()
    ]
    one_hot = [
        Variant(
            f"direct-{kind}-alone",
            f"{what}, straight into the encoder",
            {**DIRECT, "labels.ranked_by": ranked_by},
            against="direct-llm",
        )
        for kind, ranked_by, what in (
            ("gold", "gold", "the judged passages against the others, no LLM"),
            ("first-choice", "first-choice", "the LLM's first choice against the others"),
        )
    ]
    return (*orders[:5], *one_hot, *orders[5:])


def _ablations(material: Material) -> tuple[Variant, ...]:
    chain: dict[str, tuple[str, dict[str, Any]]] = {
        "pseudo-10000": ("10,000 pseudo-queries", {"labels.pseudo_queries": 10_000}),
        "pseudo-2000": ("2,000 pseudo-queries", {"labels.pseudo_queries": 2_000}),
        "all-sentences-alike": ("pseudo-queries drawn evenly", {"labels.pseudo_like_queries": False}),
        "teacher-temperature-half": ("teacher temperature 0.5", {"retriever.teacher_temperature": 0.5}),
        "teacher-temperature-double": ("teacher temperature 2", {"retriever.teacher_temperature": 2.0}),
        "student-temperature-half": ("student temperature 0.025", {"head.student_temperature": 0.025}),
        "student-temperature-double": ("student temperature 0.1", {"head.student_temperature": 0.1}),
        "no-anchor": ("passages move freely", {"head.anchor": 0.0}),
        "no-tokens": ("no token vectors", {"head.token_dimensions": 0}),
        "no-adapter": ("no adapter", {"head.width": 0}),
        "untrained": ("a head that has learned nothing", {"head.steps": 0}),
    }
    if material.config.preset != "paper":
        chain["paper"] = ("the paper's plain chain", _PAPER)
    ranker = material.config.ranker
    if not ranker.cross_encoder:
        chain["cross-encoder"] = ("the ranker with a cross-encoder on top", {"ranker.cross_encoder": True})
    elif ranker.prior:
        chain["prior-alone"] = ("the ranker without its cross-encoder", {"ranker.cross_encoder": False})
    direct: dict[str, tuple[str, dict[str, Any]]] = {
        "contrastive": ("with InfoNCE on the LLM's first choice, weight 0.5", {"retriever.contrastive_weight": 0.5}),
        "blend": ("half the old weights blended in", {"retriever.blend": 0.5}),
        "own-passages": ("KL over a query's own passages alone", {"retriever.in_batch": False}),
        "student-temperature-0.05": ("student temperature 0.05", {"retriever.student_temperature": 0.05}),
    }
    return (
        Variant("chain", "the chain", {}),
        Variant("chain-k5", "lists of 5", {}, against="chain", k=5),
        *(Variant(f"chain-{name}", what, changes, against="chain") for name, (what, changes) in chain.items()),
        Variant("direct", "the LLM's order straight into the encoder: no ranker", DIRECT, against="chain"),
        *(
            Variant(f"direct-{name}", f"no ranker, {what}", {**DIRECT, **changes}, against="direct")
            for name, (what, changes) in direct.items()
        ),
        Variant("direct-k5", "no ranker, lists of 5", DIRECT, "direct", k=5),
        Variant("direct-by-ranker", "the ranker's labels of the same lists into the encoder", _BY_RANKER, "direct"),
        Variant(
            "direct-by-both",
            "the LLM's order with the ranker's magnitudes into the encoder",
            {**DIRECT, "labels.ranked_by": "both"},
            against="direct",
        ),
        Variant(
            "direct-n30",
            "the ranker's labels of 30 passages a query into the encoder",
            {**_BY_RANKER, "candidates.n": 30, "retriever.passages_per_query": 30},
            against="direct-by-ranker",
        ),
        Variant(
            "direct-cross-encoder",
            "the ranker's labels into the encoder, the ranker a prior and a cross-encoder",
            _CROSS_ENCODER,
            against="direct-by-ranker",
        ),
        Variant(
            "direct-no-prior",
            "the ranker's labels into the encoder, the ranker a cross-encoder without a prior",
            _NO_PRIOR,
            against="direct-cross-encoder",
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


def _baselines(material: Material) -> tuple[Variant, ...]:
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
    margin_mse = {**_BY_RANKER, "retriever.loss": "margin-mse"}
    by_lists = (
        Variant("margin-mse", "margin-mse: the ranker's labels of the same lists, GPL's loss", margin_mse, "chain"),
        Variant("chain", "the chain: its retriever", {}),
    )
    on_top = {
        "ranker": ("the chain's ranker on top of the first stage", RANKER),
        "ranker-on-after": ("the chain's ranker on top of BM25 and its retriever, fused", RANKER_ON_AFTER),
    }
    reranked = (Variant(name, what, {}, "first-stage", system=system) for name, (what, system) in on_top.items())
    return (*others, *by_lists, *(reranked if material.has_ranker else ()))


STUDIES = {
    study.name: study
    for study in (
        Study("size", "How many LLM-ranked lists does it take?", _sizes),
        Study("lists", "What kind of list teaches a retriever best?", _lists),
        Study("ablations", "What is each part of the chain worth?", _ablations),
        Study("baselines", "Is the chain better than what it would replace?", _baselines),
    )
}
