from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankstill.teaching.writing import NoQueryError, clean_query, words


@pytest.mark.parametrize(
    ("answer", "query"),
    [
        ("how hot is magma", "how hot is magma"),
        ('"how hot is magma"', "how hot is magma"),
        ("“how hot is magma?”", "how hot is magma?"),
        ("Query: how hot is magma", "how hot is magma"),
        ("**Search query:** how hot is magma", "how hot is magma"),
        ("**Query: how hot is magma**", "how hot is magma"),
        ("Sure! Here's a search query for the passage:\n\n1. how hot is magma\n2. why lava flows", "how hot is magma"),
        ("Sure!\nhow hot is magma", "how hot is magma"),
        ('Here is one: "how hot is magma"', "how hot is magma"),
        ("```\nhow hot is magma\n```", "how hot is magma"),
        ("- `how hot is magma`", "how hot is magma"),
        ("<think>The passage is about\nlava.</think>\nhow hot is magma", "how hot is magma"),
        ("The passage is about lava.</think>how hot is magma", "how hot is magma"),
        ("how hot is magma<|im_end|>", "how hot is magma"),
        ("how hot\u202e is\x00 magma\ud83d", "how hot is magma"),
        ("Suchanfrage: wie heiß ist Magma", "wie heiß ist Magma"),
        ("查询：岩浆有多热", "岩浆有多热"),
        ("搜索「岩浆」有多热？", "搜索「岩浆」有多热？"),
        ("ماغما، كم درجة حرارتها؟", "ماغما، كم درجة حرارتها؟"),
    ],
)
def test_a_query_is_freed_from_what_surrounds_it(answer: str, query: str) -> None:
    assert clean_query(answer) == query


@pytest.mark.parametrize(
    "query",
    [
        "sql query: how to join two tables",
        "what does __init__ do in python",
        "c++ vs c# speed",
        'who said "I came, I saw" and when',
        "is 5 > 3 in every ring",
        "#metoo founders",
        "answer key for the maths test",
    ],
)
def test_what_belongs_to_a_query_stays(query: str) -> None:
    assert clean_query(query) == query


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "empty"),
        (" \n\t\u200b", "empty"),
        ("...", "empty"),
        ("Query:", "empty"),
        ("<think>A query about lava would be", "empty"),
        ("I'm sorry, but I can't help with that.", "refused"),
        ("Sure. As an AI language model I cannot search.", "refused"),
        ("Es tut mir leid, das geht nicht.", "refused"),
        ('{"query": "how hot is magma"}', "data, not text"),
        ("<script>alert(1)</script>", "data, not text"),
        ("lava " * 41, "over 40 words"),
        ("岩浆" * 201, "over 40 words"),
    ],
)
def test_an_answer_without_a_query_is_dropped_for_a_reason(answer: str, reason: str) -> None:
    with pytest.raises(NoQueryError, match=f"^{reason}$"):
        clean_query(answer)


@given(
    st.text() | st.lists(st.sampled_from(["Query:", "**", '"', "\n", "- ", "<think>", "</think>", "lava"])).map("".join)
)
def test_any_answer_at_all_is_one_clean_line_or_a_reason(answer: str) -> None:
    try:
        query = clean_query(answer)
    except NoQueryError:
        return
    assert query.encode()
    assert len(query.splitlines()) == 1


@pytest.mark.parametrize("piece", ['"', "<think>", "- ", "Query: ", "**", "sure! ", "a"])
def test_a_megabyte_of_anything_is_read_at_once(piece: str) -> None:
    started = time.thread_time()  # of this thread alone: the machine may be busy
    with pytest.raises(NoQueryError):
        clean_query(piece * (1_000_000 // len(piece)))
    assert time.thread_time() - started < 2


def test_words_are_the_same_whatever_the_case_and_the_punctuation() -> None:
    assert words("How hot is MAGMA?") == words("how hot, is: magma") == "how hot is magma"
