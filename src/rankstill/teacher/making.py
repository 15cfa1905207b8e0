"""A chain's rankings: asked of an LLM, or taken from where somebody recorded them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rankstill.errors import DataError
from rankstill.progress import note
from rankstill.teacher import write_rankings
from rankstill.workspace import write_atomically

if TYPE_CHECKING:
    from rankstill.components import Components


def ask_for_rankings(components: Components, folder: Path) -> Sequence[str]:
    """Have the teacher rank every training query's candidates.

    Args:
        components: the components of a chain that has found candidates.
        folder: for `rankings.jsonl` and `teacher.json`, how the teacher did.

    Raises:
        DataError: no answer ranks anything.
        RankstillError: the teacher cannot be asked, or its budget is reached; what is answered is kept.
    """
    with components.teacher() as teacher:
        rankings, health = teacher.rank(components.candidate_lists())
    for line in health.lines():
        note(line)
    if not rankings:
        raise DataError(
            f"teacher {health.model}: no list got an answer that ranks anything, so there is nothing to learn. "
            "`rankstill check-teacher` shows what it says; a small model may need teacher.strategy: setwise."
        )
    write_rankings(rankings, folder / "rankings.jsonl")
    write_atomically(folder / "teacher.json", json.dumps(asdict(health), ensure_ascii=False) + "\n")
    return health.lines()


def take_rankings(components: Components, folder: Path) -> Sequence[str]:
    """Take recorded rankings of the queries that may teach.

    Returns:
        What was left aside, and what has no ranking.

    Raises:
        DataError: they cannot be read, or none belongs to a query that may teach.
    """
    rankings, notes = components.recorded()
    write_rankings(rankings, folder / "rankings.jsonl")
    ranked = {ranking.query_id for ranking in rankings}
    missing = [query_id for query_id in components.dataset.train if query_id not in ranked]
    if missing:
        notes.append(f"{len(missing):,} training queries have no ranking ({missing[0]}, ...)")
    for each in notes:
        note(each)
    return notes
