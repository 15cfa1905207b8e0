"""Words that turn a ranking round or take it back, in the languages of LLMs: worst first, "is not", "for example".

A pattern that is too wide costs a call: the answer is asked for again. One that is too narrow teaches the opposite of
what the LLM said. So these are wide.
"""

from __future__ import annotations

import re


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


_WORST = r"(?:least|worst|lowest|weakest|poorest|less|low|last|bottom|irrelevant|non-?relevant)"
_BEST = r"(?:most|best|highest|strongest|more|high|first|top|relevant)"

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
_MOST = _any(
    r"\b(?:most(?! (?:ir|un|non|not\b))|best|highest|top|descending|decreasing|strongest|more relevant)\b",
    r"\b(?:relevantest\w*|beste\w{0,2}|höchste\w{0,2}|absteigend|meisten|wichtigste\w{0,2})\b",
    r"\b(?:plus (?!mauvais)\w+|meilleur\w{0,2}|décroissant\w{0,2})\b",
    r"\b(?:más|mayor|mejor|descendente|decreciente|mais|maior|melhor|più|miglior\w|maggior\w|decrescente)\b",
    r"\b(?:en (?:alakalı|çok|iyi|ilgili)\w*|azalan|najbardziej|najlepsz\w*|malejąc\w*|najtrafniejsz\w*)\b",
    r"\b(?:наиболее|самого|лучш\w*|большей)\b|убыва|\b(?:nhất|giảm dần|cao)\b",
    r"最相[关關]|[从由從]高|高到低|降序|递减|最高|高い|降順",
    r"가장 관련(?!\w? ?없)|높은|내림차순|الأكثر|تنازلي|الأفضل|सबसे (?:अधिक|ज़्यादा|प्रासंगिक)|अवरोही",
)
_LEAST = _any(
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
_REMARK = re.compile(r"\(([^()\n]{1,80})\)$")
_WRONG = re.compile(r"(?i:\b(?:wrong|incorrect|not (?:the|my|a))\b)")
_LOOKED_AT = 10_000  # characters at either end of an answer


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
    least, most = _LEAST.search(before), _MOST.search(before)
    if least and not (most and most.start() < least.start()):
        return True
    remark = _REMARK.search(ranking[-90:])
    if remark and (_REVERSED.search(remark[1]) or _WRONG.search(remark[1])):
        return True
    return bool(_NOT.search(_REASON.split(after, maxsplit=1)[0]))


def denies(text: str) -> bool:
    """Whether a clause speaks of what is less, or not, relevant."""
    return bool(_LEAST.search(text) or _NOT.search(text))
