import gc
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from answer_forms import CHAINS, TAKEN_BACK, UPRIGHT, chain, dressed_objects, objects
from hypothesis import given
from hypothesis import strategies as st

from rankstill.teacher.calls import Kind, Reading
from rankstill.teacher.reading.answer import read_answer

ANSWERS = [json.loads(line) for line in (Path(__file__).parent / "answers.jsonl").read_text("utf-8").splitlines()]

STRICT = {
    "chain": lambda names: " > ".join(f"[{name}]" for name in names),
    "tight chain": lambda names: ">".join(f"[{name}]" for name in names),
    "bare chain": lambda names: " > ".join(names),
    "array": json.dumps,
    "object": lambda names: json.dumps({"ranking": names}, indent=1),
    "lines": lambda names: "\n".join(f"[{name}]" for name in names),
    "bare lines": lambda names: "\n".join(names),
    "lines with full stops": lambda names: "\n".join(f"{name}." for name in names),
}
DRESSED = {
    "commas": lambda names: ", ".join(f"[{name}]" for name in names),
    "passages": lambda names: " > ".join(f"Passage {name}" for name in names) + ".",
    "arrows": lambda names: " → ".join(f"[{name}]" for name in names),
    "entities": lambda names: " &gt; ".join(f"[{name}]" for name in names) + "\n",
    "bold": lambda names: "**" + " > ".join(f"[{name}]" for name in names) + "**",
    "lead-in": lambda names: f"The top {len(names)} passages: " + " > ".join(f"[{name}]" for name in names),
    "label": lambda names: f"Of 7 years.\nFinal ranking: {' > '.join(names)}\n\nAnything else?",
    "numbered": lambda names: "\n".join(f"{rank}. [{name}]" for rank, name in enumerate(names, start=1)),
    "reasons": lambda names: (
        "Ranked:\n" + "\n".join(f"{rank}. [{name}]: 1 of 2" for rank, name in enumerate(names, start=1))
    ),
    "bullets": lambda names: "\n".join(f"* [{name}]" for name in names),
    "fence": lambda names: f"Here it is:\n```json\n{json.dumps({'ranking': names}, indent=2)}\n```\nDone.",
    "reasoning": lambda names: "<think>[2] > [1]</think>" + " > ".join(f"[{name}]" for name in names),
    "twice": lambda names: "\n\n".join([" > ".join(f"[{name}]" for name in names)] * 2),
}

permutations = st.integers(2, 26).flatmap(lambda shown: st.permutations(range(shown)))
labellings = st.sampled_from(["numbers", "letters"])


def names_of(order: list[int], labels: str) -> list[str]:
    return [chr(ord("A") + each) if labels == "letters" else str(each + 1) for each in order]


@pytest.mark.parametrize("case", ANSWERS, ids=lambda case: case["name"])
def test_answers_as_llms_give_them_are_read_as_a_person_would(case: dict[str, Any]) -> None:
    reading = read_answer(case["text"], case["shown"], case["kind"], case["labels"])
    assert reading == Reading(case["status"], tuple(case["order"]))


def test_the_corpus_holds_many_malformed_answers_and_every_status() -> None:
    assert sum(case["status"] != "exact" for case in ANSWERS) >= 60
    assert {case["status"] for case in ANSWERS} == {"exact", "repaired", "refused", "unreadable"}


@pytest.mark.parametrize("style", STRICT)
@given(order=permutations, labels=labellings)
def test_a_permutation_in_a_strict_form_is_exact(style: str, order: list[int], labels: Any) -> None:
    text = STRICT[style](names_of(order, labels))
    assert read_answer(text, len(order), labels=labels) == Reading("exact", tuple(order))


@pytest.mark.parametrize("style", DRESSED)
@given(order=permutations, labels=labellings)
def test_a_permutation_in_any_dress_is_repaired_whole(style: str, order: list[int], labels: Any) -> None:
    text = DRESSED[style](names_of(order, labels))
    assert read_answer(text, len(order), labels=labels) == Reading("repaired", tuple(order))


@given(order=st.permutations(range(20)), keep=st.integers(2, 19))
def test_a_part_of_a_ranking_is_read_and_not_filled_up(order: list[int], keep: int) -> None:
    text = " > ".join(f"[{name}]" for name in names_of(order[:keep], "numbers"))
    assert read_answer(text, 20) == Reading("repaired", tuple(order[:keep]))


@given(order=st.permutations(range(30)), style=st.sampled_from([*STRICT]), data=st.data())
def test_an_answer_cut_anywhere_never_says_what_the_whole_one_did_not(order: list[int], style: str, data: Any) -> None:
    text = STRICT[style](names_of(order, "numbers"))
    reading = read_answer(text[: data.draw(st.integers(0, len(text)))], 30)
    assert reading.order == tuple(order[: len(reading.order)])


# Pieces of rankings in random order reach far more of the grammar than random characters do.
SCRAPS = ["[1]", "[2", "[30]", "[0]", "3", "A", "[B]", " > ", ">", ", ", "\n", "\n1. ", "2. ", "Passage ", "Ranking: "]
SCRAPS += [
    "<think>",
    "</think>",
    "```",
    "**",
    "{",
    '{"ranking": ',
    "]",
    '"',
    "...",
    "e.g. ",
    "²",
    "３",
    "①",
    "I'm sorry",
    "不",
]
texts = st.one_of(st.text(), st.lists(st.sampled_from(SCRAPS), max_size=40).map("".join))


@given(
    text=texts,
    shown=st.integers(1, 26),
    kind=st.sampled_from(["listwise", "setwise", "pairwise"]),
    labels=labellings,
)
def test_any_text_at_all_gives_a_sound_reading(text: str, shown: int, kind: Any, labels: Any) -> None:
    reading = read_answer(text, shown, kind, labels)
    assert len(set(reading.order)) == len(reading.order)
    assert all(0 <= each < shown for each in reading.order)
    assert bool(reading.order) == (reading.status in ("exact", "repaired"))
    if kind != "listwise":
        assert len(reading.order) <= 1
    elif reading.order and shown > 1:
        assert len(reading.order) >= 2
    if reading.status == "exact" and kind == "listwise":
        assert len(reading.order) == shown


WORDS = ["the", "passage", "relevant", "A", "I", "year", "of", "rank", "top", "in", "answers", "best", "query", "is"]
words = st.one_of(st.sampled_from(WORDS), st.integers(0, 2030).map(str))


@given(
    sentences=st.lists(st.lists(words, min_size=3, max_size=12), min_size=1, max_size=6),
    citations=st.lists(st.integers(1, 9), max_size=6),
    end=st.sampled_from([". ", ".\n", "; ", "? "]),
    labels=labellings,
)
def test_prose_is_never_a_ranking(sentences: list[list[str]], citations: list[int], end: str, labels: Any) -> None:
    cited = [f"It says [{number}] that" for number in citations]
    prose = [*cited, *(" ".join(["So", *sentence, "indeed"]) for sentence in sentences)]
    assert read_answer(end.join(prose) + ".", 9, labels=labels).status == "unreadable"


SHOWN = 6
orders = st.permutations(range(SHOWN)).flatmap(lambda order: st.integers(2, SHOWN).map(lambda many: order[:many]))


@given(order=orders, form=st.sampled_from(["numbers", "strings", "chain"]), data=st.data())
def test_an_object_is_read_by_its_ranking_whatever_else_it_and_the_prose_say(
    order: list[int], form: str, data: Any
) -> None:
    names = names_of(order, "numbers")
    value: Any = {"numbers": [each + 1 for each in order], "strings": names, "chain": chain(names)}[form]
    text = data.draw(dressed_objects("ranking", value, SHOWN))
    assert read_answer(text, SHOWN).order == tuple(order)


@given(best=st.integers(0, SHOWN - 1), data=st.data())
def test_an_object_is_read_by_its_best_whatever_else_it_and_the_prose_say(best: int, data: Any) -> None:
    text = data.draw(
        dressed_objects("best", data.draw(st.sampled_from([best + 1, str(best + 1), f"[{best + 1}]"])), SHOWN)
    )
    assert read_answer(text, SHOWN, "setwise").order == (best,)


@given(order=orders, data=st.data())
def test_an_object_cut_anywhere_says_the_beginning_of_its_ranking_or_nothing(order: list[int], data: Any) -> None:
    text = data.draw(objects("ranking", [each + 1 for each in order], SHOWN))
    reading = read_answer(text[: data.draw(st.integers(0, len(text)))], SHOWN)
    assert reading.order == tuple(order[: len(reading.order)])


@pytest.mark.parametrize("key", ["irrelevant", "worst", "unranked", "least_relevant", "ranks", "scores", "excluded"])
@given(order=orders, data=st.data())
def test_an_object_without_a_ranking_says_none(key: str, order: list[int], data: Any) -> None:
    text = data.draw(objects(key, [each + 1 for each in order], SHOWN))
    assert read_answer(text, SHOWN).order == ()


@pytest.mark.parametrize("form", CHAINS)
@pytest.mark.parametrize("words", TAKEN_BACK)
def test_a_ranking_that_its_words_turn_round_or_take_back_is_not_read(words: str, form: str) -> None:
    assert read_answer(words.format(CHAINS[form](["4", "5", "2"])), SHOWN).order == ()


@given(words=st.sampled_from(TAKEN_BACK), form=st.sampled_from([*CHAINS]), order=orders)
def test_no_ranking_at_all_is_read_where_it_is_taken_back(words: str, form: str, order: list[int]) -> None:
    assert read_answer(words.format(CHAINS[form](names_of(order, "numbers"))), SHOWN).order == ()


@pytest.mark.parametrize("words", UPRIGHT)
def test_a_ranking_that_names_the_best_first_is_read(words: str) -> None:
    assert read_answer(words.format(chain(["4", "5", "2"])), SHOWN) == Reading("repaired", (3, 4, 1))


@pytest.mark.parametrize(
    "text",
    [
        '{"ranking": [1, 2, 3], "ranking": [3, 2, 1]}',
        '{"first": {"ranking": [1, 2, 3]}, "second": {"ranking": [3, 2, 1]}}',
        '{"ranking": [1, 2, 3]} {"ranking": [3, 2, 1]}',
        '{"ranking": [1, 2, 3], "order": "from least to most relevant"}',
        '{"ranking": [[1, 2], [3]]}',
        '{"ranking": {"1": 3, "2": 1}}',
        '{"example": {"ranking": [1, 2, 3]}}',
        'From worst to best:\n{"ranking": [1, 2, 3]}',
        "Ranking: [1] > [2] > [3]. The order of age: [3] > [2] > [1]",
        "Ranks: 3, 1, 2",
    ],
)
def test_what_may_be_meant_in_two_ways_is_not_read(text: str) -> None:
    assert read_answer(text, SHOWN) == Reading("unreadable")


@pytest.mark.parametrize(
    "text", ["The worst is [2].", "Wrong answer: 2", "The least relevant passage is 2", '{"worst": 2}']
)
def test_the_worst_is_not_taken_for_the_best(text: str) -> None:
    assert read_answer(text, SHOWN, "setwise") == Reading("unreadable")


LOOPS = [
    "[1] > ",
    "[1]>[2] ",
    "Ranking: [1]>[2]\n",
    "rank is ",
    "[1], ",
    "1 ",
    "1. [3]: a\n",
    "[1]\n",
    "3\n",
    "e.g. [1]>[2] ",
]
LOOPS += [
    "Answer: 1\n",
    "[1] is not it, ",
    "Passage ",
    "[1] (a",
    "I cannot ",
    "ich kann a ",
    "The passage answers. ",
    "[1] [2]",
]
LOOPS += [
    '{"a":',
    '{"ranking": [1], ',
    '{"a": "',
    "{'a': '",
    '{"a":1}',
    '{"ranking": [2, 1]}',
    '{"a": [[',
    "least to ",
    "not ",
]
LOOPS += [
    "[",
    "{[",
    "(",
    "<think>",
    "</think>",
    "<b ",
    "-",
    ">",
    " ",
    "\n",
    "*",
    "```",
    "9",
    '"1',
    "１",
    "一",
    "\u0301\u0323",
]


def seconds_to_read(text: str, shown: int, kind: Kind = "listwise") -> float:
    return seconds_of(lambda: read_answer(text, shown, kind))


def seconds_of(work: Callable[[], object]) -> float:
    """Of this thread alone, for servers of other tests run beside it, and without the collector's walks through all
    that other tests have left in memory; the better of two, for the machine may be busy."""
    seconds = []
    gc.disable()
    try:
        for _ in range(2):
            started = time.thread_time()
            work()
            seconds.append(time.thread_time() - started)
    finally:
        gc.enable()
    return min(seconds)


@pytest.mark.parametrize("kind", ["listwise", "setwise"])
@pytest.mark.parametrize("loop", LOOPS)
def test_an_endless_loop_is_read_in_linear_time(loop: str, kind: Kind) -> None:
    # A megabyte takes less than a second on an idle core; what is quadratic takes minutes.
    assert seconds_to_read(loop * (100_000 // len(loop)), 20, kind) < 0.5


def test_a_megabyte_of_prose_and_rankings_takes_as_long_as_a_few_passes_over_it() -> None:
    text = "The [3] answers the query in 1998, but (1) it is old.\nFinal ranking: [3] > [1] > [2]\n" * 12_000
    assert len(text) > 1_000_000
    assert read_answer(text, 3) == Reading("repaired", (2, 0, 1))
    one_pass = seconds_of(lambda: re.findall(r"\w+|\S", text))  # how fast this processor is
    assert seconds_to_read(text, 3) < 15 * one_pass
