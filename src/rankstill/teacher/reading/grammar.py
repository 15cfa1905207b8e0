"""What counts as an identifier, and what as a ranking of identifiers, in the plain text of an LLM's answer.

Every repetition in these patterns is bounded or cannot be matched in two ways, so that finding takes linear time.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Literal

from rankstill.teacher.calls import Labels
from rankstill.teacher.reading.denials import taken_back

Standing = Literal["final", "labelled", "alone", "inline", "listed"]

_NOUN = (
    r"(?i:\b(?:passages?|psg|documents?|docs?|candidate|snippet|option|text|dokument|passagen?|extrait|documento|pasaje"
    r"|fragmento?|texto|passagem|trecho|brano|passaggio|pasaj|pozycja|отрывок|документ|пассаж|текст|đoạn)"
    r"|段落|文档|文件|文章|第|パッセージ|文書|구절|문서|단락|المقطع|الوثيقة|अनुच्छेद)[ .:#_-]{0,3}"
)
_COUNTER = r"(?:段落|段|篇|号|番|个|번)?"
_REMARK = r"(?: ?\((?! ?[0-9A-Za-z] ?\))[^()\[\]\n>]{1,80}\))?"
_GREATER = r"[ \n]{0,2}[>=][ \n]{0,2}"
_COMMA = r"(?: ?[,;] ?\n?(?:and |then |und |et |y )?| (?:and|then|followed by|und|et|y) |(?<=\]) ?(?=\[))"

_LABEL = (
    r"(?i:\b(?:rank|order|sort|answer|result|output|final|reihenfolge|rang|antwort|ergebnis|classement|ordre|réponse"
    r"|résultat|orden|clasifica|respuesta|resultado|ordem|resposta|classifica|ordin|risposta|sırala|cevap|kolejność"
    r"|odpowiedź|ранжир|ранг|порядок|ответ|результат|xếp hạng)"
    r"|排序|排名|顺序|順序|順位|答案|结果|結果|回答|ランキング|순위|순서|답|الترتيب|الإجابة|रैंकिंग|क्रम|उत्तर)"
)
_LABEL_WORD = re.compile(_LABEL)
_FINAL = re.compile(
    r"(?i:\b(?:final\w*|answer|corrected|revised|updated|endgültig\w*|antwort|réponse|corrigé\w*|respuesta|definitiv\w*"
    r"|corregid\w*|resposta|corrigid\w*|risposta|corrett\w*|cevap|nihai|son sıra\w*|odpowiedź|ostateczn\w*|ответ"
    r"|окончательн\w*|итогов\w*|cuối cùng)\b|答案|最[终終]|回答|最終|최종|답|الإجابة|النهائي|उत्तर|अंतिम)"
)
_RANKS = re.compile(r"(?i:\branks\b|\branks? of\b)")  # "Ranks: 3, 1, 2": of the passages in the order shown
_CLAUSE_START = re.compile(
    r"[\]};!?]|\.(?= |[^\x00-\x7f])|[.,] (?=(?:so|thus|hence|therefore|my|the final|final|here)\b)", re.IGNORECASE
)
_ANNOUNCES = re.compile(r"(?:[:=]|\b(?:is|are|ist|est|es|é|è)|[是为])[ \"'\[{(]*$")
_HEADING = re.compile(r"[^.!?>\[\]]{1,60}")
_COLON = re.compile(r"[:=][ \"'\[{(]*$")
_LINE_START = re.compile(r"[-+|> \"'(\[{]*(?:[0-9]{1,2}[.)] ?)?")
_LINE_END = re.compile(r"[ .;,!>\"')\]}|]*(?:\n|\Z)")
_NO_WORD = re.compile(rf" ?[.;!)\]}}\"']|{_LINE_END.pattern}")
_LOOK_BACK = 200  # characters of a line that may announce a ranking
_LOOK_AHEAD = 40
_MOST = 1_000  # rankings, identifiers, lines of a list: more of them only an LLM in an endless loop writes


@dataclass(frozen=True)
class FoundRanking:
    """A ranking found in an answer.

    Args:
        names: of the identifiers in it, best first, as written: "3", "B".
        standing: "final" ("Final ranking: ..."), "labelled" ("Ranking: ..."), "alone" on its lines, "inline" in prose,
            or a list of lines or with commas that no label announces ("listed").
    """

    names: tuple[str, ...]
    standing: Standing
    start: int


@dataclass(frozen=True)
class Grammar:
    """The patterns of one kind of label.

    Args:
        marked: an identifier that cannot be anything else: "[3]", "Passage 3".
        item: any identifier, the bare ones included, with a remark in parentheses.
        chain: items joined by ">".
        enumeration: items joined by commas, a JSON array perhaps.
        line: an identifier that leads a line, perhaps after the line's number; and the rest of the line.
        joined: the end or start of text beside a chain that makes it a part of something else.
    """

    marked: re.Pattern[str]
    item: re.Pattern[str]
    chain: re.Pattern[str]
    enumeration: re.Pattern[str]
    line: re.Pattern[str]
    joined: re.Pattern[str]


@cache
def grammar(labels: Labels) -> Grammar:
    """The patterns for identifiers that are numbers, or letters."""
    bare = "[0-9]{1,9}" if labels == "numbers" else "[A-Z]"
    in_brackets = bare if labels == "numbers" else "[A-Za-z]"
    # "the passage I chose": the pronoun is no identifier, so that an I must not be followed by a word.
    after_noun = bare if labels == "numbers" else r"(?:[A-HJ-Z]|I(?! ?\w))"
    bracketed = rf"\[{{1,2}} ?(?:{_NOUN})?({in_brackets}) ?(?:\]{{1,2}}|\Z)"
    named = rf"{_NOUN}[\[(]? ?({after_noun})(?![0-9A-Za-z_']) ?{_COUNTER}[\])]?"
    unmarked = rf"\( ?({in_brackets}) ?\)|\"({in_brackets})\"|(?<![\w.$#'])#?({bare})(?![\w%']|\.[0-9])"
    marked = rf"(?:{bracketed}|{named})"
    alone = rf"(?:{bracketed}|{named}|{unmarked})"
    item = rf"{alone}{_REMARK}"
    dots = rf"(?:[ >,]{{0,3}}\.{{2,9}}(?:{_GREATER}{item})*)?"
    rank = r"(?:\(?(?i:(?:rank|top|place|platz|rang|#) ?)?([0-9]{1,3})(?:st|nd|rd|th|位)? ?[.):|-]{1,2} ?)?"
    return Grammar(
        marked=re.compile(marked),
        item=re.compile(item),
        chain=re.compile(rf"({item}(?:{_GREATER}{item})+){dots}"),
        enumeration=re.compile(rf"(\[[ \n]{{0,2}})?({item}(?:{_COMMA}{item})+)([ ,\n]{{0,2}}\])?"),
        line=re.compile(rf"^[-+|]? ?{rank}({alone})(?! ?[,;/<>=&] ?{alone}| (?:and|or) {alone})([^\n]*)$", re.M),
        joined=re.compile(rf"\] ?[,;<] ?$|\b{bare} ?< ?$|^ ?[,;] ?{marked}|^ ?< ?{item}"),
    )


def find_rankings(text: str, labels: Labels) -> list[FoundRanking]:
    """All rankings in a plain text, in their order."""
    rules = grammar(labels)
    found = [*_chains(text, rules), *_enumerations(text, rules), *_lists(text, rules)]
    return sorted(found, key=lambda each: each.start)


def names_in(text: str, pattern: re.Pattern[str]) -> tuple[str, ...]:
    """The identifiers that a pattern of the grammar finds, as written; of endless ones the first."""
    return tuple(match[match.lastindex or 0] for match in islice(pattern.finditer(text), _MOST))


def _chains(text: str, rules: Grammar) -> Iterator[FoundRanking]:
    for match in _last(rules.chain, text):
        before, above, after = _around(text, match)
        if ">" not in match[1] or taken_back(_lead(before, above), match[1], after):
            continue
        if rules.joined.search(before) or rules.joined.search(after):
            continue
        names = names_in(match[1], rules.item)
        marked = rules.marked.match(match[1])
        label = _label(before, above)
        if label and (marked or _NO_WORD.match(after)):
            yield FoundRanking(names, label, match.start())
        elif _stands_alone(before, after) or (_COLON.search(before) and _LINE_END.match(after)):
            yield FoundRanking(names, "alone", match.start())
        elif marked:
            yield FoundRanking(names, "inline", match.start())


def _enumerations(text: str, rules: Grammar) -> Iterator[FoundRanking]:
    for match in _last(rules.enumeration, text):
        before, above, after = _around(text, match)
        lead = _lead(before, above)
        if not _NO_WORD.match(after) or taken_back(lead, match[2], after) or _RANKS.search(lead):
            continue
        names = names_in(match[2], rules.item)
        # Bare numbers with commas are a ranking in an array, after a label, or when there is nothing else.
        sure = match[1] or rules.marked.match(match[2]) or len(match[0]) >= len(text) - 2
        label = _label(before, above)
        if label:
            yield FoundRanking(names, label, match.start())
        elif sure and _stands_alone(before, after):
            yield FoundRanking(names, "listed", match.start())


def _lists(text: str, rules: Grammar) -> Iterator[FoundRanking]:
    """Rankings of one identifier a line.

    An LLM that weighs one passage after the other writes lines with remarks too ("[1]: it answers"). They are a ranking
    when a label announces them, or when they are numbered and not merely in the order shown. Numbered lines count up
    from 1; the number is no identifier.
    """
    block: list[re.Match[str]] = []
    for match in islice(rules.line.finditer(text), _MOST):
        if block and not _continues(block[-1], match):
            yield from _list(text, rules, block)
            block = []
        block.append(match)
    if block:
        yield from _list(text, rules, block)


def _continues(last: re.Match[str], match: re.Match[str]) -> bool:
    if last[1] and match[1]:
        return int(match[1]) == int(last[1]) + 1
    return not last[1] and not match[1] and match.start() == last.end() + 1


def _list(text: str, rules: Grammar, block: list[re.Match[str]]) -> Iterator[FoundRanking]:
    if len(block) < 2:
        return
    before, above, _ = _around(text, block[0])
    numbered, label = bool(block[0][1]), _label(before, above)
    items = [match[2] for match in block]
    *rests, last = (match[match.lastindex or 0].strip(" .,;:|-") for match in block)
    remarks = list(filter(None, [*rests, last]))
    marked = all(rules.marked.match(each) for each in items)
    whole = block[0].start() == 0 and block[-1].end() == len(text)
    # Words behind the last line alone are of the whole list: "... is not the ranking".
    after = "" if any(rests) else last
    if taken_back(_lead(before, above), after=after) or (numbered and int(block[0][1]) != 1):
        return
    names = tuple(name for each in items for name in names_in(each, rules.item)[:1])
    if remarks:
        # "[1]: 3rd", "[1] (score: 4)" unnumbered: the order of the lines is not the LLM's order.
        scored = any(any(character.isdigit() for character in rest[:20]) for rest in remarks)
        moved = list(names) != sorted(names, key=lambda name: (len(name), name))
        if not marked or not (label or moved if numbered else label and not scored):
            return
    elif not (marked or numbered or label or whole):
        return
    yield FoundRanking(names, label if label and not remarks else "listed", block[0].start())


def _last(pattern: re.Pattern[str], text: str) -> Iterable[re.Match[str]]:
    return deque(pattern.finditer(text), maxlen=_MOST)


def _around(text: str, match: re.Match[str]) -> tuple[str, str, str]:
    """What stands before on the same line; the line above when that is nothing; what follows. Not all of long lines."""
    lines = text[max(0, match.start() - _LOOK_BACK) : match.start()].split("\n")
    above = lines[-2] if len(lines) > 1 and _LINE_START.fullmatch(lines[-1]) else ""
    return lines[-1], above, text[match.end() : match.end() + _LOOK_AHEAD]


def _lead(before: str, above: str) -> str:
    """The clause that leads to a ranking: on its line, or in the line above that is a heading or ends in a colon."""
    if not above:
        return _CLAUSE_START.split(before)[-1]
    if above.rstrip().endswith(":"):
        return _CLAUSE_START.split(above)[-1]
    return above if _HEADING.fullmatch(above) else ""


def _label(before: str, above: str) -> Literal["final", "labelled"] | None:
    lead = _lead(before, above)
    if not (above or _ANNOUNCES.search(before[-16:])) or not _LABEL_WORD.search(lead):
        return None
    return "final" if _FINAL.search(lead) else "labelled"


def _stands_alone(before: str, after: str) -> bool:
    return bool(_LINE_START.fullmatch(before) and _LINE_END.match(after))
