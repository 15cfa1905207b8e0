"""Answers that say one ranking and mention others, and answers that say none, as LLMs write them."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

OTHER_KEYS = ["irrelevant", "not_relevant", "unranked", "explanation", "reasoning", "worst", "least_relevant", "scores"]
OTHER_KEYS += ["order_shown", "excluded", "notes", "confidence", "ties", "rejected results", "不相关", "irrelevante"]
REMARKS = [
    "[4] > [5] on dates",
    "Ranking by date: [5] > [4] > [3]",
    "[5], [4]",
    "1. [3]\n2. [2]",
    'the "best" is [1]',
    "it's",
]
WRAPPINGS = ["result", "answer", "output", "response", "data", "Antwort"]
LEADS = [
    "",
    "Here is my ranking in JSON format:\n",
    "[1] > [2] at first sight.\n",
    "The passages are about 3 causes. ",
    "排序：",
]
TAILS = [
    "",
    "\nNote that [4] > [5] on dates.",
    "\nIrrelevant: [5], [4]",
    "\n[3] and [2] do not answer.",
    "\n1. [5]: no\n2. [4]: no",
]

# What a ranking is introduced by, and followed by, when it is none. {} is a ranking.
TAKEN_BACK = [
    "From least to most relevant: {}",
    "From the least relevant passage to the most relevant one: {}",
    "Worst to best: {}",
    "Least relevant first:\n{}",
    "Ranking (ascending): {}",
    "Ranking in ascending order of relevance:\n{}",
    "In reverse order: {}",
    "{} (least relevant first)",
    "{}, from worst to best.",
    "The ranking is not {}",
    "The ranking isn't {}",
    "I would not rank them {}.",
    "Final ranking: not {}",
    "{} is not the ranking.",
    "{} would be wrong.",
    "Not relevant: {}",
    "Irrelevant passages: {}",
    "Irrelevant passages:\n{}",
    "Not in the ranking: {}",
    "Excluded from the ranking: {}",
    "Worst results: {}",
    "The given order is: {}",
    "For example: {}",
    "Von der am wenigsten zur am meisten relevanten: {}",
    "Reihenfolge (aufsteigend): {}",
    "Die Reihenfolge ist nicht {}",
    "Nicht relevant: {}",
    "{} ist nicht die Reihenfolge",
    "Du moins pertinent au plus pertinent : {}",
    "Classement (ordre croissant) : {}",
    "Le classement n'est pas : {}",
    "Non pertinents : {}",
    "De menos a más relevante: {}",
    "Orden ascendente: {}",
    "El orden no es: {}",
    "Irrelevantes: {}",
    "Do menos ao mais relevante: {}",
    "Não relevantes: {}",
    "Dal meno al più rilevante: {}",
    "Non rilevanti: {}",
    "От наименее к наиболее релевантному: {}",
    "Порядок по возрастанию: {}",
    "Порядок не {}",
    "Нерелевантные: {}",
    "从最不相关到最相关排序：{}",
    "升序排名：{}",
    "排序不是：{}",
    "不相关：{}",
    "関連性の低い順のランキング：{}",
    "昇順: {}",
    "順位は{}ではない",
    "오름차순 순위: {}",
    "순위는 {}가 아닙니다",
    "En az alakalıdan en çok alakalıya sıralama: {}",
    "Sıralama {} değil",
    "Od najmniej trafnego: {}",
    "Kolejność nie jest taka: {}",
    "Từ ít liên quan nhất đến liên quan nhất: {}",
    "Không liên quan: {}",
    "من الأقل صلة إلى الأكثر صلة: {}",
    "ليس الترتيب: {}",
    "सबसे कम से सबसे अधिक प्रासंगिक क्रम: {}",
    "यह क्रम नहीं है: {}",
]
# The best comes first in all of these, though they name the worst.
UPRIGHT = [
    "From most to least relevant: {}",
    "Ranked from the most relevant passage to the least relevant one:\n{}",
    "In descending order of relevance: {}",
    "Best to worst: {}",
    "The last passage does not answer. Ranking: {}",
    "Passage 2 is not relevant.\n{}",
    "Von der relevantesten zur am wenigsten relevanten: {}",
    "Du plus pertinent au moins pertinent : {}",
    "De más a menos relevante: {}",
    "Do mais ao menos relevante: {}",
    "Dal più al meno rilevante: {}",
    "От наиболее к наименее релевантным: {}",
    "从最相关到最不相关排序如下：{}",
    "関連性の高いものから低いものへ：{}",
    "가장 관련 있는 것부터 가장 관련 없는 것 순: {}",
    "En alakalıdan en az alakalıya: {}",
    "Od najbardziej do najmniej trafnego: {}",
]


def chain(names: list[str]) -> str:
    return " > ".join(f"[{name}]" for name in names)


CHAINS = {
    "chain": chain,
    "commas": lambda names: ", ".join(f"[{name}]" for name in names),
    "array": lambda names: f"[{', '.join(names)}]",
    "numbered": lambda names: "\n" + "\n".join(f"{rank}. [{name}]" for rank, name in enumerate(names, start=1)),
}


@st.composite
def objects(draw: st.DrawFn, key: str, value: Any, shown: int) -> str:
    """An object that says a value under a key, among other keys, at some depth, as JSON or nearly."""
    others = st.lists(st.integers(1, shown), max_size=shown)
    names = others.map(lambda numbers: [str(each) for each in numbers])
    anything = st.one_of(
        others, names, st.sampled_from(REMARKS), st.floats(0, 1), st.none(), st.fixed_dictionaries({"passages": others})
    )
    before, after = (draw(st.dictionaries(st.sampled_from(OTHER_KEYS), anything, max_size=3)) for _ in range(2))
    said: dict[str, Any] = {**before, key: value}
    said |= {other: each for other, each in after.items() if other not in said}
    for _ in range(draw(st.integers(0, 2))):
        said = {draw(st.sampled_from(WRAPPINGS)): said, "irrelevant": draw(others)}
    indent = draw(st.sampled_from([None, 2]))
    text = json.dumps(said, indent=indent, ensure_ascii=draw(st.booleans()))
    style = draw(st.sampled_from(["json", "json", "python", "trailing comma"]))
    if style == "python":
        return str(said)
    return text[:-1] + ",}" if style == "trailing comma" else text


@st.composite
def dressed_objects(draw: st.DrawFn, key: str, value: Any, shown: int) -> str:
    """Such an object as an answer: alone, in a fence, after reasoning, between prose."""
    text = draw(objects(key, value, shown))
    fence = draw(
        st.sampled_from(["{}", "```json\n{}\n```", "```\n{}\n```", "<answer>{}</answer>", "<think>[5] > [4]</think>{}"])
    )
    return draw(st.sampled_from(LEADS)) + fence.replace("{}", text) + draw(st.sampled_from(TAILS))
