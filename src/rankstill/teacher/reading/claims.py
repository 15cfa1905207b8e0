"""Which JSON objects of an answer name a ranking, or the best passage, and under which key."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from rankstill.teacher.calls import Kind
from rankstill.teacher.reading.denials import reversed_order, taken_back
from rankstill.teacher.reading.objects import Entry, JsonObject

_ASKED_FOR = {
    "listwise": {"ranking", "final ranking"},
    "setwise": {"best", "best passage", "best document"},
}
# What LLMs write in its place. Sure only where it is the only list, or the only choice, in the object.
_INSTEAD = {
    "listwise": {"ranked", "ranked passages", "ranked documents", "ranked list", "order", "final order", "answer"}
    | {"final answer", "result", "results", "output", "response"},
    "setwise": {"answer", "final answer", "choice", "winner", "most relevant", "result", "output"},
}
_DIRECTIONS = {"order", "sort", "sorted", "sorting", "sort order", "direction"}


def claims(objects: Iterable[JsonObject], kind: Kind) -> list[JsonObject]:
    """The objects that say what the answer is, each with the entries alone that say it; several must agree.

    One that says that its order is turned round is left without entries. A key that another key takes back is passed
    over: {"irrelevant": {"ranking": [...]}}, {"example": {"best": ...}}.
    """
    question = "listwise" if kind == "listwise" else "setwise"
    found = []
    for each in objects:
        said = _under(each, _ASKED_FOR[question]) or _instead(each, question)
        if said:
            found.append(replace(each, entries=() if _is_reversed(each) else said))
    return found


def _under(each: JsonObject, keys: set[str]) -> tuple[Entry, ...]:
    return tuple(entry for entry in each.entries if entry.path[-1] in keys and not any(map(taken_back, entry.path)))


def _instead(each: JsonObject, question: str) -> tuple[Entry, ...]:
    said = _under(each, _INSTEAD[question])
    if question == "listwise":
        lists = [entry for entry in each.entries if not isinstance(entry.value, str)]
        if len(lists) > 1:
            return ()
        said = tuple(entry for entry in said if entry in lists) if lists else said
    return said if len(said) == 1 else ()


def _is_reversed(each: JsonObject) -> bool:
    return any(
        isinstance(entry.value, str) and entry.path[-1] in _DIRECTIONS and reversed_order(f"{entry.value} order")
        for entry in each.entries
    ) or any(reversed_order(key) for entry in each.entries for key in entry.path[:-1])
