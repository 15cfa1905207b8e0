"""JSON objects in an LLM's answer, whole or cut, strict or nearly so: what stands under which key.

Not `json`, which reads nothing of an object that is cut, has a comma too many or is in Python's quotes.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace

_OPENS = re.compile(r"\{\s{0,99}(?:\"(?:[^\"\\\n]|\\.){0,80}\"|'(?:[^'\\\n]|\\.){0,80}'|\w{1,80})\s{0,99}:", re.DOTALL)
# A string may be cut with the answer. Each token is matched in one way, so that it takes linear time.
_TOKEN = re.compile(
    r"\"[^\"\\]*(?:\\(?:.|\Z)[^\"\\]*)*(?:\"|\Z)|'[^'\\]*(?:\\(?:.|\Z)[^'\\]*)*(?:'|\Z)|[{}\[\]:,]|[^\s{}\[\]:,\"']+",
    re.DOTALL,
)
_DEEPEST = 50
_MOST = 1_000  # objects: more of them only an LLM in an endless loop writes
_BETWEEN_WORDS = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class Entry:
    """A value in an object.

    Args:
        path: the keys that lead to it, from the outermost, in lower case with spaces between words.
        value: a string (numbers and constants too), the strings of a flat list, or None for anything else.
        cut: the answer ended within it, so that the last string in it may not be whole.
    """

    path: tuple[str, ...]
    value: str | tuple[str, ...] | None
    cut: bool = False


@dataclass(frozen=True)
class JsonObject:
    """An object that stands in an answer.

    Args:
        end: where what follows it begins.
        entries: all that it holds, at any depth, but for other objects and lists of lists.
    """

    start: int
    end: int
    entries: tuple[Entry, ...]


@dataclass
class _Level:
    """An object or a list that is open, and what has been read of it since its last comma."""

    opener: str
    path: tuple[str, ...]
    scalars: list[str] = field(default_factory=list)
    listed: tuple[str, ...] | None = None
    nested: bool = False


def find_objects(text: str) -> list[JsonObject]:
    """The outermost objects in a text, in their order.

    One that is never closed ends with the text; so does the last of a thousand, whatever follows it.
    """
    found: list[JsonObject] = []
    opening = _OPENS.search(text)
    while opening:
        found.append(_read(text, opening.start()))
        if len(found) == _MOST:
            found[-1] = replace(found[-1], end=len(text))
        opening = _OPENS.search(text, found[-1].end)
    return found


def _read(text: str, start: int) -> JsonObject:
    levels: list[_Level] = []
    entries: list[Entry] = []
    key: dict[int, str] = {}  # by depth, of the value that is being read

    def finish(cut: bool = False) -> None:
        """What the innermost object's current key stands for is complete."""
        level, name = levels[-1], key.pop(len(levels), None)
        if level.opener == "{" and name is not None and not level.nested:
            value: str | tuple[str, ...] | None = None
            if level.listed is not None and not level.scalars:
                value = level.listed
            elif level.listed is None and len(level.scalars) == 1:
                value = level.scalars[0]
            entries.append(Entry((*level.path, name), value, cut))
        level.scalars, level.listed, level.nested = [], None, False

    def close(cut: bool = False) -> None:
        """The innermost object or list ends."""
        if levels[-1].opener == "{":
            finish(cut)
            levels.pop()
            return
        done = levels.pop()
        if levels:
            levels[-1].listed = None if done.nested else tuple(done.scalars)
            levels[-1].nested |= done.nested

    token = ""
    for match in _TOKEN.finditer(text, start):
        token = match[0]
        if token in ("{", "["):
            if len(levels) == _DEEPEST:
                return JsonObject(start, len(text), ())
            path = levels[-1].path if levels else ()
            if levels:
                path += (key[len(levels)],) if len(levels) in key else ()
                # A list under a key is its value; anything else in an object or a list is more than a flat value.
                levels[-1].nested |= token == "{" or levels[-1].opener == "["
            levels.append(_Level(token, path))
        elif token in ("}", "]"):
            close()
            if not levels:
                return JsonObject(start, match.end(), tuple(entries))
        elif token == ":" and levels[-1].opener == "{":
            key[len(levels)] = _words(levels[-1].scalars[-1]) if levels[-1].scalars else ""
            levels[-1].scalars = []
        elif token == "," and levels[-1].opener == "{":
            finish()
        elif token not in (",", ":"):
            levels[-1].scalars.append(_unquoted(token))
    cut = token not in ("}", "]", ",", ":") and (len(token) == 1 or token[0] not in "\"'" or token[-1] != token[0])
    while levels:
        close(cut)
    return JsonObject(start, len(text), tuple(entries))


def _unquoted(token: str) -> str:
    if token[0] not in "\"'":
        return token
    if token[0] == '"':
        try:
            return str(json.loads(token, strict=False))
        except ValueError:  # cut, or with escapes that JSON does not know
            pass
    inner = token[1:-1] if len(token) > 1 and token[-1] == token[0] else token[1:]
    return inner.replace("\\n", "\n").replace("\\", "")


def _words(key: str) -> str:
    return _BETWEEN_WORDS.sub(" ", key).strip().lower()
