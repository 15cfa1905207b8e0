"""Held-out lists: a part of the LLM's lists that teaches nothing and measures what learned from the others.

Similar lists stay together, either held out or not: a ranker that has seen half of a list's passages in order already
knows a part of that list.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rankstill.teacher import Ranking
from rankstill.workspace import write_atomically

HELD_OUT_FILE = "held-out-lists.json"
"""Its name in the workspace."""
LEAST = 20
"""Lists to hold out, at least: with fewer, hardly any difference can be told from chance."""
_SHARED = 0.5
_COSINE = 0.95
_ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class HeldOutLists:
    """The held-out lists of an experiment, and how they were sampled.

    Args:
        why: none is held out; empty where some are.
    """

    queries: tuple[str, ...]
    lists: int
    why: str = ""

    def describe(self) -> str:
        """In one sentence."""
        if self.why:
            return f"none of the LLM's lists is held out to measure agreement with it: {self.why}"
        return (
            f"{len(self.queries):,} of the LLM's {self.lists:,} lists teach nothing; they measure how closely each "
            "system agrees with the LLM (evaluation.holdout)"
        )

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        write_atomically(path, json.dumps(asdict(self), ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, path: Path) -> HeldOutLists:
        """Read what `save` wrote."""
        read = json.loads(path.read_text(encoding="utf-8"))
        return cls(tuple(read["queries"]), read["lists"], read["why"])


def hold_out_lists(
    rankings: Sequence[Ranking], vectors: Callable[[], NDArray[np.float32]], share: float, seed: int
) -> HeldOutLists:
    """Draw the held-out lists. The draw does not depend on the LLM's orders, because these are what is measured.

    Args:
        vectors: makes unit vectors of their queries, if they are needed. [lists, dimensions]
        share: of the lists to hold out; 0 for none. `LEAST` are held out at least.
    """
    lists = len(rankings)
    if not share:
        return HeldOutLists((), lists, "evaluation.holdout is 0")
    if lists < 2 * LEAST:
        return HeldOutLists((), lists, f"{lists:,} are too few, it takes {2 * LEAST} and better many more")
    groups = groups_of_alike([each.candidates for each in rankings], vectors())
    held = draw_groups(groups, max(LEAST, round(share * lists)), seed)
    if len(held) < LEAST:
        largest = int(np.bincount(groups).max())
        return HeldOutLists(
            (), lists, f"{largest:,} of {lists:,} are linked by shared passages or queries, and the rest are too few"
        )
    return HeldOutLists(tuple(rankings[row].query_id for row in held.tolist()), lists)


def groups_of_alike(passages: Sequence[Collection[str]], queries: NDArray[np.float32]) -> NDArray[np.int64]:
    """The group of each list. Two lists share a group if they are alike, or if a chain of such pairs links them.

    Alike are lists that share more than half of the shorter one's passages, and lists whose queries have a cosine above
    0.95. One shared passage is not enough: a popular passage would join most lists of a corpus into one group.

    Args:
        queries: unit vectors of their queries. [lists, dimensions]

    Returns:
        The group of each list, from 0. [lists]
    """
    from scipy.sparse import coo_matrix, csr_matrix
    from scipy.sparse.csgraph import connected_components

    ids = {each: column for column, each in enumerate(dict.fromkeys(one for own in passages for one in own))}
    lengths = np.array([len(own) for own in passages])
    rows = np.repeat(np.arange(len(passages)), lengths)
    columns = np.array([ids[each] for own in passages for each in own])
    holds = csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(passages), len(ids)))
    shared = (holds @ holds.T).tocoo()
    many = shared.data > _SHARED * np.minimum(lengths[shared.row], lengths[shared.col])
    pairs = [np.stack([shared.row[many], shared.col[many]])]
    for start in range(0, len(queries), _ROWS_AT_ONCE):
        near = np.argwhere(queries[start : start + _ROWS_AT_ONCE] @ queries.T > _COSINE).T
        pairs.append(near + np.array([[start], [0]]))
    one, other = np.concatenate(pairs, axis=1)
    graph = coo_matrix((np.ones(len(one)), (one, other)), shape=(len(passages), len(passages)))
    groups: NDArray[np.int64] = connected_components(graph, directed=False)[1].astype(np.int64)
    return groups


def repeats_any(candidates: Collection[str], lists: Sequence[Collection[str]]) -> bool:
    """Whether a query's candidates are mostly those of one of these lists: it may ask the same in other words."""
    own = set(candidates)
    return any(len(own.intersection(each)) > _SHARED * min(len(own), len(each)) for each in lists)


def draw_groups(groups: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """Rows of whole groups in random order, each that still fits: `count` of them, or fewer. Ascending.

    Args:
        groups: of each row. [rows]
        count: rows to draw.
        seed: seeds the random order.
    """
    sizes, chosen = np.bincount(groups), []
    for group in np.random.default_rng(seed).permutation(len(sizes)):
        if sizes[group] <= count:
            chosen.append(group)
            count -= sizes[group]
    return np.flatnonzero(np.isin(groups, chosen))
