"""Text of unknown origin, made fit to be shown: passages and queries are hostile until they went through here."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

ID_CHARACTERS = 80
NOTE_CHARACTERS = 600
_AT_ONCE = 200  # characters that a reader sees without asking for more

# Zero-width (non-)joiners and soft hyphens are part of how languages are written; all other format characters go.
_KEPT = frozenset("\u200c\u200d\u00ad")
_BACKTICKS = re.compile("`([^`<>]+)`")
_EQUALS = re.compile(r"\b([pn]) ([=≤]) (?=\d)")
_MINUS = re.compile(r"(?<![\w)-])-(?=\d)")
_NAMED = re.compile(r"[^\w\s!-~]")


def visible(text: str) -> str:
    """The text on one line, each control, bidi or other unseen character replaced by its number in brackets.

    White space becomes single spaces. So text can neither turn the page's direction round nor hide anything.
    """
    return _NAMED.sub(_named, " ".join(text.split()))


def shorten(text: str, limit: int) -> tuple[str, int]:
    """The visible text, cut.

    Args:
        text: the text of any length; what lies far beyond the limit is not even looked at.
        limit: characters to keep.

    Returns:
        The beginning, and how many characters the whole text has; 0 if nothing was cut.
    """
    head = text[: 4 * limit]
    seen = visible(head)
    if len(seen) <= limit and len(head) == len(text):
        return seen, 0
    return seen[:limit].rstrip(), len(text)


def shown(text: object, limit: int = NOTE_CHARACTERS) -> Markup:
    """Text for a template: visible, cut with a remark, escaped, and with a direction of its own (`bdi`)."""
    head, cut = shorten(str(text), limit)
    rest = Markup(' <span class="cut">… cut, {:,} characters in all</span>').format(cut) if cut else Markup()
    return Markup('<bdi dir="auto">{}</bdi>{}').format(head, rest)


def typeset(text: str) -> str:
    """One of our own sentences as a page prints it: arrows, minus signs, and no line break inside "p = 0.03"."""
    made = _MINUS.sub("−", _EQUALS.sub("\\1\u00a0\\2\u00a0", str(text).replace("->", "→")))
    return Markup(made) if isinstance(text, Markup) else made


def coded(text: Markup) -> Markup:
    """What `shown` made of one of our own sentences, with what stands between backticks as code."""
    return Markup(_BACKTICKS.sub(r"<code>\1</code>", str(text)))


def excerpt(text: str, answers: Sequence[str], limit: int) -> tuple[list[str], int]:
    """A passage cut to size, accepted answers marked.

    Where the first answer stands further on, the excerpt starts shortly before it.

    Args:
        text: the passage's.
        answers: to mark, regardless of case; often none.
        limit: characters to keep.

    Returns:
        Pieces of the excerpt, by turns plain and answer, plain first; and how many characters the whole text has, 0
        if nothing was cut.
    """
    wanted = [r"\s+".join(map(re.escape, answer.split())) for answer in answers if answer.strip()]
    pattern = re.compile("|".join(rf"(?<!\w){each}(?!\w)" for each in wanted), re.IGNORECASE) if wanted else None
    first = pattern.search(text) if pattern else None
    start = 0
    if first and first.end() > _AT_ONCE:
        start = max(0, first.start() - _AT_ONCE // 2)
    head, cut = shorten(text[start:], limit)
    cut = len(text) if cut or start else 0
    lead = "… " if start else ""
    if pattern is None:
        return [lead + head], cut
    pieces, end = [], 0
    for found in pattern.finditer(head):
        pieces += [head[end : found.start()], found.group()]
        end = found.end()
    pieces.append(head[end:])
    pieces[0] = lead + pieces[0]
    return pieces, cut


def signed(value: float) -> str:
    """A difference to three places, with its sign; one that rounds to nothing has none."""
    text = f"{value:+.3f}"
    return text[1:] if float(text) == 0 else text.replace("-", "\u2212")


def as_json(value: Any) -> Markup:
    """JSON for a script element: nothing in it can end the element or open another."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _named(match: re.Match[str]) -> str:
    character = match.group()
    if character in _KEPT or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Cn"):
        return character
    return f"[U+{ord(character):04X}]"
