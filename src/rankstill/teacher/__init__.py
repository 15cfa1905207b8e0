"""The teacher: the black box whose rankings the chain learns from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rankstill.teacher.rankings import Ranking, read_rankings, write_rankings

if TYPE_CHECKING:
    from rankstill.teacher.asking import CandidateList
    from rankstill.teacher.teach import Teacher

__all__ = ["CandidateList", "Ranking", "Teacher", "read_rankings", "write_rankings"]

_LAZY = {"CandidateList": "rankstill.teacher.asking", "Teacher": "rankstill.teacher.teach"}


def __getattr__(name: str) -> Any:
    # Who replays recorded rankings does not wait for what asks an LLM.
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
