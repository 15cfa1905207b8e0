"""What a study compares: experiments that differ in a part of the configuration or in the lists that teach."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rankstill.config import Config
from rankstill.evaluation.systems import DISTILLED, UNTRAINED
from rankstill.studies.lists import ListKind

DIRECT: dict[str, Any] = {
    "labels.ranked_by": "llm",
    "candidates.n": 10,
    "retriever.learning_rate": 1e-4,
    "retriever.epochs": 1,
    "retriever.blend": 1.0,
    "retriever.student_temperature": 0.1,
}
"""No ranker in between: the encoder itself is trained on the order, by KL divergence with in-batch negatives."""
BY_RANKER = {**DIRECT, "labels.ranked_by": "ranker"}
"""A ranker in between, which labels the same lists and nothing else."""


@dataclass(frozen=True)
class Variant:
    """One experiment of a study.

    Args:
        name: unique in its study, fit for a file name.
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
    system: str = DISTILLED

    @property
    def trained(self) -> bool:
        """Whether a seed makes a difference."""
        return self.system not in UNTRAINED


@dataclass(frozen=True)
class StudyData:
    """The data that a study can work with.

    Args:
        answers: whether training queries have accepted answers, which the white-box methods read.
    """

    lists: int
    answers: bool
    config: Config
    has_ranker: bool


@dataclass(frozen=True)
class Study:
    """A question and the variants that answer it.

    Args:
        variants: those that can be taught with what there is.
    """

    name: str
    question: str
    variants: Callable[[StudyData], tuple[Variant, ...]]
