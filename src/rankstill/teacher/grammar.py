"""What counts as an identifier, what as a ranking of identifiers, and what takes one back, in an LLM's plain text.

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

_WORST = r"(?:least|worst|lowest|weakest|poorest|less|low|last|bottom|irrelevant|non-?relevant)"
_BEST = r"(?:most|best|highest|strongest|more|high|first|top|relevant)"
_TRAILING_REMARK = re.compile(r"\(([^()\n]{1,80})\)$")
_WRONG = re.compile(r"(?i:\b(?:wrong|incorrect|not (?:the|my|a))\b)")
_LOOKED_AT = 10_000  # characters at either end of an answer
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


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


# Words that turn a ranking round or take it back, in the languages of LLMs. They are wide: a pattern that is too wide
# costs a call, for the answer is asked for again; one that is too narrow teaches the opposite of what the LLM said.
# The whole answer is said to run from worst to best, wherever it says so.
_REVERSED = _any(
    rf"\b{_WORST}(?:[ -]\w{{1,20}}){{0,3}} ?(?:\bto\b|up to|until|>)[ -]?(?:the )?{_BEST}\b",
    rf"\b{_WORST}(?:[ -]\w{{1,20}}){{0,2}}[ -](?:first|at the top|on top|comes? first|is first)\b",
    r"\b(?:most|best)(?: relevant| important)?(?: ones?| passages?| documents?)?(?: is| are| comes?)? last\b",
    r"\b(?:ascending|increasing) (?:order|rank|relevanc|by|sort|score)|\bascending ?[\"')\]:,.]|\bincreasing ?[):]",
    r"\b(?:sorted|ranked|ordered|listed|arranged) (?:ascending|increasing|reverse|backward)|\bbackwards\b",
    r"\bin (?:ascending|reverse)(?! transcri)\b|\brevers\w{0,3} (?:order|rank|sort|sequence)",
    r"> ?(?:means|is|=|stands for|reads)(?: \w{1,12}){0,2} (?:less|worse)\b",
    r"\baufsteigend|\bumgekehrte\w{0,2} reihenfolge|\b(?:wenigsten|schlechteste\w*|unwichtigste\w*)(?: \w+)? zuerst",
    r"\bvo[mn] (?:der |den )?(?:am wenigsten|wenigsten|schlecht\w*|niedrig\w*|irrelevant\w*|gering\w*|unwichtig\w*)",
    r"\bcroissant|\bordre inverse|\bd(?:u|e la|es) (?:moins |pires? |plus (?:mauvais|faible))",
    r"\bmoins (?:pertinents?|bons?) (?:d'abord|en premier)",
    r"\bascendente|\bcreciente|\borden inverso|\bd(?:e|el|e la|e los) (?:menos|menor|peor)|\bmenos \w+ primero",
    r"\bcrescente|\bordem inversa|\bd[oae]s? (?:menos|menor|pior)",
    r"\bordine inverso|\bda(?:l|lla|i)? (?:meno|peggior|minor)",
    r"\bartan|\bters sıra|\ben az \w+(?:dan|den|tan|ten)\b|\ben kötüden",
    r"\brosnąc|\bodwrotn|\bod (?:najmniej|najgorsz)",
    r"возрастани|возрастающ|обратн\w{1,4} порядк|\bот (?:наименее|худш|менее|меньш)",
    r"tăng dần|ngược|\btừ (?:ít|kém|thấp)",
    r"升序|递增|遞增|逆序|倒序|反序|[从由從](?:最不|最低|最差|低|差)|昇順|逆順|(?<!から)低い(?:順|もの|方)",
    r"오름차순|역순|(?<!부터 )(?<!에서 )낮은 ?(?:순|것)|없는 것(?:부터|에서)",
    r"تصاعدي|عكسي|من (?:الأقل|الأسوأ)",
    r"आरोही|उल्टे|बढ़ते क्रम|सबसे कम [^\n]{0,30}से",
)
# "From most to least" names the worst too: it is no worse for it, where the best comes first.
_MOST_RELEVANT = _any(
    r"\b(?:most(?! (?:ir|un|non|not\b))|best|highest|top|descending|decreasing|strongest|more relevant)\b",
    r"\b(?:relevantest\w*|beste\w{0,2}|höchste\w{0,2}|absteigend|meisten|wichtigste\w{0,2})\b",
    r"\b(?:plus (?!mauvais)\w+|meilleur\w{0,2}|décroissant\w{0,2})\b",
    r"\b(?:más|mayor|mejor|descendente|decreciente|mais|maior|melhor|più|miglior\w|maggior\w|decrescente)\b",
    r"\b(?:en (?:alakalı|çok|iyi|ilgili)\w*|azalan|najbardziej|najlepsz\w*|malejąc\w*|najtrafniejsz\w*)\b",
    r"\b(?:наиболее|самого|лучш\w*|большей)\b|убыва|\b(?:nhất|giảm dần|cao)\b",
    r"最相[关關]|[从由從]高|高到低|降序|递减|最高|高い|降順",
    r"가장 관련(?!\w? ?없)|높은|내림차순|الأكثر|تنازلي|الأفضل|सबसे (?:अधिक|ज़्यादा|प्रासंगिक)|अवरोही",
)
_LEAST_RELEVANT = _any(
    r"\b(?:least|worst|lowest|weakest|poorest|bottom|less|worse|ir+elevan\w*|non-?relevan\w*|unrelated)\b",
    r"\b(?:unimportant|off[ -]topic|useless)\b",
    r"\b(?:wenigste\w?|schlechteste\w?|niedrigste\w?|unwichtig\w*|moins|pires?|hors sujet|menos|peor\w*)\b",
    r"\b(?:meno|pior\w*|peggior\w*|en az(?: alakalı\w*)?|alakasız\w*|ilgisiz\w*|najmniej|najgorsz\w*|nietrafn\w*)\b",
    r"\b(?:наименее|менее|худш\w*|нерелевант\w*|ít liên quan|kém|thấp)\b",
    r"最不|不相[关關]|[无無][关關]|最低|最差|無関係|低い|最下位",
    r"관련(?:이|성)? ?없|무관|낮은|الأقل|غير|सबसे कम|अप्रासंगिक",
)
_NOT = _any(
    r"\b(?:not|never|neither|nor|cannot|no (?:ranking|relevan\w+|order|answer|longer)|unranked|unordered)\b|n't\b",
    r"\b(?:exclud\w+|omit\w*|discard\w*|reject\w*|remov\w+|dropp\w+|ignor\w+|left out|leaving out|except\w*)\b",
    r"\b(?:without|unlike|instead of|rather than|other than|opposite|contrary|wrong\w*|incorrect\w*|mistaken)\b",
    r"\b(?:invalid|false|bad|draft|initially|at first|ascending|increasing|reversed?|inverse|inverted)\b",
    r"\b(?:by (?:date|time|year|age|length|size|name|title|number)|alphabetical\w*|chronological\w*)\b",
    r"\b(?:nicht|kein\w{0,2}|niemals|falsch\w*|ohne|statt|ausgeschlossen\w*)\b",
    r"\b(?:pas|aucun\w?|jamais|faux|fausse|exclus\w*|sauf)\b|\bn'(?=[aeéiouy])",
    r"\b(?:no (?:es|son|está\w*|ser[íi]a)|nunca|descartad\w*|excluid\w*|excluíd\w*|falso|não)\b",
    r"\b(?:non|sbagliat\w*|errat\w*|esclus\w*|değil\w*|yanlış\w*|nie|błędn\w*|không|chẳng|sai)\b",
    r"\b(?:не|нет|неверн\w*|неправильн\w*|исключ\w*)\b",
    r"不(?:是|对|對|应|應|正确|正確|包括|会|會|能|该|該|准)|[并並]非|错误|錯誤|排除|除了|没有|沒有",
    r"ではな|ではあり|でない|ない|ありません|除外|間違|아니|아닙|않|제외|틀린|ليس|ليست|خطأ|नहीं|गलत",
)
_NO_ANSWER = _any(
    r"(?:\be\.g\.?|\bexamples?(?: (?:ranking|order|answer|output|is))?|\bfor instance|\bsuch as|\bz\. ?b\."
    r"|\bformat (?:is|should be)|\bbeispiel|\bpar exemple|\bpor ejemplo|\bpor exemplo|\bper esempio|\bнапример"
    r"|例如|例えば|예를 들어)[ ,:\"'(]*$",
    r"\b(?:original|initial|current|previous|first|given|shown|presented|input|default|prior|old|draft)"
    r" (?:order|ranking|list)[^\n]{0,20}$",
)
# "[3] > [1], because [2] does not name it": a reason denies something else.
_REASON = _any(
    r"[.,;:!?()\[\]{}\n]| - |\b(?:because|since|as|for|while|with|though|although|but|weil|da|denn|während|car)\b",
    r"\b(?:puisque|parce|porque|pues|perché|poiché|потому|так как|çünkü|bo|ponieważ|vì)\b|因[为為]|由于|왜냐",
)


def reversed_order(text: str) -> bool:
    """Whether an answer says that it runs from the worst to the best. Of an endless one the two ends are looked at."""
    ends = text if len(text) <= 2 * _LOOKED_AT else f"{text[:_LOOKED_AT]}\n{text[-_LOOKED_AT:]}"
    return bool(_REVERSED.search(ends))


def taken_back(before: str, ranking: str = "", after: str = "") -> bool:
    """Whether the words around a ranking say that it is none, or no answer, or one of what is not relevant.

    Args:
        before: the clause or the heading that leads to it.
        ranking: itself; a remark in parentheses may end it.
        after: what follows on the same line.
    """
    if _NO_ANSWER.search(before[-40:]) or _NOT.search(before) or _REVERSED.search(before):
        return True
    least, most = _LEAST_RELEVANT.search(before), _MOST_RELEVANT.search(before)
    if least and not (most and most.start() < least.start()):
        return True
    remark = _TRAILING_REMARK.search(ranking[-90:])
    if remark and (_REVERSED.search(remark[1]) or _WRONG.search(remark[1])):
        return True
    return bool(_NOT.search(_REASON.split(after, maxsplit=1)[0]))


def denies(text: str) -> bool:
    """Whether a clause speaks of what is less, or not, relevant."""
    return bool(_LEAST_RELEVANT.search(text) or _NOT.search(text))


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
