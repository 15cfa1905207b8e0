"""Reading an LLM's answer: a strict grammar first, then bounded repair; what is not surely a ranking is not read.

Which ranking counts when a listwise answer holds several:

1. A JSON object's key "ranking" (setwise and pairwise: "best"), nested or not. Other keys and prose are ignored
   (`claims.py`), but for a ranking after it that is as whole and that a label calls final.
2. The last one that a label calls final ("Final ranking: ...", "Answer: ..."), whatever else the answer holds.
3. Those that another label announces; without labels, the chains that stand alone on their lines; without those, the
   chains in prose; without those, lists of lines or with commas. Of these the longest counts if it holds every other in
   the same order (a repeated or truncated block); if two contradict each other the answer is unreadable.

What the words around it take back, or turn round, is no ranking: "not [1] > [2]", "irrelevant: ...", "e.g. ...", an
answer that runs from the worst to the best (`denials.py`). Identifiers that were not shown are dropped, and of an
identifier's repetitions the first counts. A ranking with a 0 in it counts from 0, so that each of its numbers means
another passage than the one shown: it is not read. What a passage injected and the LLM quotes is not special: these
rules alone decide.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from rankstill.teacher.calls import Kind, Labels, Reading
from rankstill.teacher.reading.claims import claims
from rankstill.teacher.reading.denials import denies, reversed_order, taken_back
from rankstill.teacher.reading.grammar import Grammar, Standing, find_rankings, grammar
from rankstill.teacher.reading.objects import Entry, JsonObject, find_objects
from rankstill.teacher.reading.plain import plain, plain_characters, without_reasoning

_REFUSAL = re.compile(
    r"(?i:\bi(?:'m| am) (?:very |so |really |truly )?sorry\b|\bi(?: can't| cannot| can not| won't|'m unable| am unable"
    r"|'m not able| am not able|'m not comfortable| must decline| apologi[sz]e)\b|\bas an? (?:ai|(?:large )?language"
    r" model|artificial)\b|\bsorry, (?:but )?i\b|\bunable to (?:assist|help|comply|rank|provide|fulfill)\b"
    r"|\bdésolé|\bje ne peux pas\b|\ben tant qu'(?:ia|intelligence)|\blo siento\b|\bno puedo\b|\bcomo modelo de\b"
    r"|\btut mir leid\b|\bich kann [^\n.]{0,30}\bnicht\b|\bals ki\b|\bdesculpe|\bnão posso\b|\bmi dispiace\b"
    r"|\bnon posso\b|\bhet spijt me\b|\bik kan [^\n.]{0,30}\bniet\b|\bprzykro mi\b|\bnie mogę\b"
    r"|\bизвините|\bк сожалению,? я\b|\bя не могу\b|\bкак (?:ии|языковая модель)\b|\büzgünüm|\bmaalesef\b|\bxin lỗi\b"
    r"|抱歉|对不起|對不起|我无法|我無法|我不能|申し訳|お手伝いできません|ごめんなさい|죄송|할 수 없습니다"
    r"|عذر|آسف|لا أستطيع|لا يمكنني|क्षमा|माफ़)"
)
_REFUSED_WITHIN = 400
_COPULA = r"(?i:(?: passage| document| one)?\"?)(?i: is| ist| est| es|是|为| ?[:=]){1,2}[ \n]?"
_FINAL = re.compile(
    r"(?i:\b(?:answer|choice|verdict|output|antwort|réponse|respuesta|resposta|risposta|ответ)"
    rf"|答案|回答|답|الإجابة|उत्तर){_COPULA}"
)
_SAID = re.compile(rf"(?i:\b(?:best|winner|better|(?:most|more) relevant)){_COPULA}")
_ENDS = re.compile(r"[ .!)\]}\"']*(?:\n|\Z)|[.,;] ")
_CLAUSE_END = re.compile(r"[.,;!?\n]")
_SENTENCE_END = re.compile(r"[;!?\]}]|\.(?: |$)")
_CLAUSE = 100  # characters on either side of an identifier in which a denial is looked for


def read_answer(text: str, shown: int, kind: Kind = "listwise", labels: Labels = "numbers") -> Reading:
    """What an LLM's answer says about the passages shown to it.

    "exact" is a whole permutation (setwise and pairwise: one identifier) and nothing else: `[3] > [1] > [2]`,
    `3 > 1 > 2`, a JSON array, {"ranking": [...]} or {"best": ...}, or one identifier a line. "repaired" is a ranking
    that had to be found in more, or that is not whole; missing items are never made up. "refused" says that it will
    not, and "unreadable" is all else: above all numbers in prose, and one identifier where a ranking was asked for.

    Args:
        shown: how many passages were shown, labelled from 1 or A; letters name 26 at most.
        kind: the kind of the question: an order ("listwise"), or the one best ("setwise", "pairwise").
    """
    wanted = shown if kind == "listwise" else 1
    names = _strict(text.strip(), wanted, kind, labels)
    order, known = _positions(names, shown)
    if known and len(order) == len(names) == wanted:
        return Reading("exact", order)
    order = _found(text, shown, kind, labels)
    if order:
        return Reading("repaired", order)
    refused = _REFUSAL.search(plain(text)[:_REFUSED_WITHIN])
    return Reading("refused" if refused else "unreadable")


def _strict(answer: str, wanted: int, kind: Kind, labels: Labels) -> tuple[str, ...]:
    """The names in an answer that is nothing but a ranking of so many (or one identifier) in the form asked for."""
    if answer[:1] in ("[", "{") and (names := _json_names(answer, kind, labels)):
        return names
    name = "[0-9]{1,9}" if labels == "numbers" else "[A-Z]"
    styles = [rf"\[({name})\]", rf"({name})"]
    if kind != "listwise":
        pieces = [answer.removesuffix(".")]
        styles.append(rf"(?:Passage|Document) \[?({name})\]?")
    elif ">" in answer:
        pieces = answer.split(">")
    else:
        pieces = [line for line in answer.split("\n") if line.strip()]
        styles.append(rf"({name})\.")
    if len(pieces) != wanted:
        return ()
    for style in map(re.compile, styles):
        matches = [style.fullmatch(piece.strip()) for piece in pieces]
        if matches and all(matches):
            return tuple(match[1] for match in matches if match)
    return ()


def _json_names(answer: str, kind: Kind, labels: Labels) -> tuple[str, ...]:
    name = re.compile("[0-9]{1,9}" if labels == "numbers" else "[A-Za-z]")
    key = "ranking" if kind == "listwise" else "best"
    try:
        value: Any = json.loads(answer, object_pairs_hook=_each_key_once)
    except (ValueError, RecursionError):  # RecursionError: brackets nested thousands deep
        return ()
    if isinstance(value, dict) and len(value) == 1:
        value = value.get(key)
        value = [value] if key == "best" else value
    elif kind != "listwise":
        return ()
    if not isinstance(value, list):
        return ()
    names = [str(each).strip().removeprefix("[").removesuffix("]") for each in value if type(each) in (int, str)]
    if len(names) != len(value) or not all(map(name.fullmatch, names)):
        return ()
    return tuple(names)


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(found := dict(pairs)) < len(pairs):
        raise ValueError("a key twice: which of its values is meant?")
    return found


def _positions(names: Sequence[str], shown: int) -> tuple[tuple[int, ...], bool]:
    """Names as positions from 0, each once and only those shown; and whether the names can be trusted (no 0)."""
    numbers = [int(name) - 1 if name.isdigit() else ord(name.upper()) - ord("A") for name in names]
    return tuple(dict.fromkeys(each for each in numbers if 0 <= each < shown)), -1 not in numbers


def _found(text: str, shown: int, kind: Kind, labels: Labels) -> tuple[int, ...]:
    """What an answer says, by the keys of its JSON objects if they say it, else by its prose."""
    text = without_reasoning(text)
    objects = find_objects(text)
    if not objects and re.search("[{｛]", text):  # in curly quotes, perhaps
        text = plain_characters(text)
        objects = find_objects(text)
    # An object's keys and remarks are no prose.
    ends = [0, *(each.end for each in objects)]
    starts = [*(each.start for each in objects), len(text)]
    prose = [text[end:start] for end, start in zip(ends, starts, strict=True)]
    said = [each for each in claims(objects, kind) if not _only_mentioned(text, each)]
    if not said:
        return _in_prose("\n".join(prose), shown, kind, labels)
    after = "\n".join(part for end, part in zip(ends, prose, strict=True) if end >= said[-1].end)
    orders = [_claimed(each.entries, shown, kind, labels) for each in said]
    if kind == "listwise":
        if reversed_order(plain("\n".join(prose))):
            return ()
        return _corrected(_agreed(orders), plain(after), shown, labels)
    corrections = [_positions([name], shown)[0] for name in _after(_FINAL, plain(after), grammar(labels))]
    return orders[0] if len({*orders, *corrections}) == 1 else ()


def _only_mentioned(text: str, claim: JsonObject) -> bool:
    """Whether the words before an object take it back: "the format is {...}", "not {...}"."""
    line = plain(text[max(0, claim.start - _CLAUSE) : claim.start].removesuffix("[")).split("\n")[-1]
    return taken_back(_SENTENCE_END.split(line)[-1])


def _claimed(entries: Sequence[Entry], shown: int, kind: Kind, labels: Labels) -> tuple[int, ...]:
    """The order, or the best alone, that all of an object's entries name; none if they differ or cannot be read."""
    said = {_named(entry, shown, kind, labels) for entry in entries}
    return said.pop() if len(said) == 1 else ()


def _named(entry: Entry, shown: int, kind: Kind, labels: Labels) -> tuple[int, ...]:
    if entry.value is None:
        return ()
    least = min(2, shown) if kind == "listwise" else 1
    values = [entry.value] if isinstance(entry.value, str) else list(entry.value)
    if entry.cut and values:
        values[-1] = _without_cut_end(values[-1], shown, labels)
        values = values if values[-1] else values[:-1]
    names = [_identifier(each, labels) for each in values]
    if names and all(names) and (kind == "listwise" or len(names) == 1):
        order, known = _positions(names, shown)
        if known and len(order) >= least:
            return order
    # A string may hold the whole ranking: {"ranking": "[3] > [1]"}.
    return _found(values[0], shown, kind, labels) if isinstance(entry.value, str) and values else ()


def _identifier(text: str, labels: Labels) -> str:
    """The one identifier that a text is, as written; an empty string if it is something else."""
    text = plain(text)
    name = "[0-9]{1,9}" if labels == "numbers" else "[A-Za-z]"
    match = re.fullmatch(rf"\[? ?({name}) ?\]?", text) or grammar(labels).item.fullmatch(text)
    return match[match.lastindex or 0] if match else ""


def _corrected(order: tuple[int, ...], after: str, shown: int, labels: Labels) -> tuple[int, ...]:
    """The order of an object, or a whole one that prose after it calls final."""
    finals = [each for each in _rankings(after, shown, labels)["final"] if set(order) <= set(each)]
    return _last(finals) if order and finals else order


def _in_prose(text: str, shown: int, kind: Kind, labels: Labels) -> tuple[int, ...]:
    text = plain(text)
    if kind != "listwise":
        return _best(text, shown, labels)
    found = _rankings(text, shown, labels)
    if not any(found.values()) or reversed_order(text):
        return ()
    if found["final"]:
        return _last(found["final"])
    return _agreed(found["labelled"] or found["alone"] or found["inline"] or found["listed"])


def _rankings(text: str, shown: int, labels: Labels) -> dict[Standing, list[tuple[int, ...]]]:
    rankings: dict[Standing, list[tuple[int, ...]]] = defaultdict(list)
    for found in find_rankings(_without_cut_end(text, shown, labels), labels):
        order, known = _positions(found.names, shown)
        # One identifier alone is no ranking.
        if known and len(order) >= min(2, shown):
            rankings[found.standing].append(order)
    return rankings


def _last(orders: list[tuple[int, ...]]) -> tuple[int, ...]:
    """The last order, or what it is the cut beginning of: a block may be repeated until the answer ends."""
    last = orders[-1]
    return max((each for each in orders if each[: len(last)] == last), key=len)


def _agreed(orders: list[tuple[int, ...]]) -> tuple[int, ...]:
    """The longest order, if it holds every other one."""
    longest = max(orders, key=len, default=())
    return longest if all(_within(each, longest) for each in set(orders)) else ()


def _within(part: tuple[int, ...], whole: tuple[int, ...]) -> bool:
    rest = iter(whole)
    return all(each in rest for each in part)


def _without_cut_end(text: str, shown: int, labels: Labels, before: str = "") -> str:
    """The text without a last number that may be the beginning of a longer one, cut with the answer: "[1] > [1"."""
    cut = re.search(before + r"([0-9]{1,9})$", text[-12:]) if labels == "numbers" else None
    if cut and 1 <= int(cut[1]) * 10 <= shown:
        return text[: -len(cut[1])].rstrip(' ["(')
    return text


def _best(text: str, shown: int, labels: Labels) -> tuple[int, ...]:
    """The one identifier that an answer names, or that stands alone after the last label ("Answer: B").

    An identifier in brackets or after a noun ("Passage B") counts wherever it stands, a bare one only at the end of
    "the best is B". Two different ones, shown or not, are no answer; nor is one only denied ("[A] does not say").
    """
    rules = grammar(labels)
    text = _without_cut_end(text, shown, labels, before=r"\[ ?")
    names = list(_strict(text.strip("()"), 1, "setwise", labels)) or _after(_FINAL, text, rules)[-1:]
    if not names:
        marked = list(rules.marked.finditer(text))
        names = [match[match.lastindex or 0] for match in marked]
        if names and all(_denied(text, match) for match in marked):
            return ()
        names += _after(_SAID, text, rules)
    order, known = _positions(names, shown)
    return order if known and len({name.upper() for name in names}) == 1 else ()


def _after(label: re.Pattern[str], text: str, rules: Grammar) -> list[str]:
    """The identifiers that stand alone after a label, if the clause before does not deny it ("the wrong answer: B")."""
    found = []
    for said in label.finditer(text):
        match = rules.item.match(text, said.end())
        if match and _ENDS.match(text[match.end() : match.end() + _CLAUSE]) and not denies(_clause_before(text, said)):
            found.append(match[match.lastindex or 0])
    return found


def _denied(text: str, match: re.Match[str]) -> bool:
    after = _CLAUSE_END.split(text[match.end() : match.end() + _CLAUSE])[0]
    return denies(f"{_clause_before(text, match)} {after}")


def _clause_before(text: str, match: re.Match[str]) -> str:
    return _CLAUSE_END.split(text[max(0, match.start() - _CLAUSE) : match.start()])[-1]
