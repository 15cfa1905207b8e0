"""Passages, queries and ids from anywhere: they stay text, and the page stays small."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankstill.config import DatasetConfig
from rankstill.data import Dataset, load_dataset
from rankstill.evaluation.systems import SYSTEMS
from rankstill.report import write_report
from rankstill.report.showing import as_json, excerpt, visible

MakeWorkspace = Callable[..., Path]

ATTACKS = [
    "<script>window.owned = 1</script>",
    "</script><script>window.owned = 1</script>",
    "]]><svg onload=window.owned=1>",
    "<!-- <img src=x onerror=window.owned=1>",
    "\u202egnissim\u202c \u2066isolated\u2069 \u061c\ufeff",
    "{{ 7 * 7 }} {% raw %} ${7*7} \u2028\u2029 \x00\x1b[31m\ud800",
    '" onmouseover="window.owned=1" \'',
]


class Elements(HTMLParser):
    """Start tags with their attributes, and all text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def beir(folder: Path, passages: list[dict[str, str]], queries: list[str]) -> tuple[Dataset, Path]:
    """A dataset in which query number n has passage number n for gold; the first half teaches."""
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text("".join(json.dumps(each) + "\n" for each in passages))
    lines = [json.dumps({"_id": f"q{number}", "text": text}) + "\n" for number, text in enumerate(queries)]
    (folder / "queries.jsonl").write_text("".join(lines))
    rows = [f"q{number}\t{passages[number % len(passages)]['_id']}\t1\n" for number in range(len(queries))]
    half = len(queries) // 2
    for split, members in (("train", rows[:half]), ("test", rows[half:])):
        (folder / "qrels" / f"{split}.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(members))
    return load_dataset(DatasetConfig(source=str(folder))), folder


@pytest.fixture
def hostile_page(tmp_path: Path, workspace_of: MakeWorkspace) -> str:
    """The report on a dataset in which every text attacks, one of them with 1 MB."""
    attacks = [each.encode("utf-8", "replace").decode() for each in ATTACKS]
    passages = [
        {"_id": f"p{number}<b>", "title": attacks[number % 7], "text": f"{attacks[number % 7]} of {number}"}
        for number in range(15)
    ]
    passages[0]["text"] += "<b>long</b> " * 90_000
    queries = [f"{number} {attacks[number % 7]}" for number in range(14)]
    dataset, source = beir(tmp_path / "data", passages, queries)
    return write_report(workspace_of(dataset, source)).read_text(encoding="utf-8")


def test_hostile_text_stays_text(hostile_page: str) -> None:
    parsed = Elements()
    parsed.feed(hostile_page)
    scripts = [attributes for tag, attributes in parsed.tags if tag == "script"]
    assert scripts == [{"type": "application/json", "id": "data"}, {}]
    assert not [name for _, attributes in parsed.tags for name in attributes if name.startswith("on")]
    assert not [tag for tag, _ in parsed.tags if tag in ("img", "b", "iframe", "object", "embed", "form", "base")]
    assert "49" not in "".join(part for part in parsed.text if "7 * 7" in part)
    shown = "".join(parsed.text)
    assert "<script>window.owned = 1</script>" in shown  # escaped, so that a reader sees it
    assert "[U+202E]gnissim" in shown
    assert not set(hostile_page) & set(
        "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200f\u061c\x00\x1b\ufeff"
    )


def test_a_megabyte_of_text_is_cut_and_said_to_be(hostile_page: str) -> None:
    assert len(hostile_page.encode()) < 300_000
    data: Any = json.loads(hostile_page.split('id="data">')[1].split("</script>")[0])
    assert max(passage["cut"] for passage in data["passages"]) > 1_000_000
    assert max(len("".join(passage["text"])) for passage in data["passages"]) <= 700


def test_the_page_stays_below_5_mb_whatever_the_corpus(tmp_path: Path, workspace_of: MakeWorkspace) -> None:
    # "<" takes six bytes in JSON: the dearest text there is. No two queries share a passage.
    passages = [{"_id": f"p{number}", "title": "<" * 300, "text": f"{number}" + "<" * 900} for number in range(450)]
    dataset, source = beir(tmp_path / "data", passages, [f"{number} " + "<" * 3_000 for number in range(900)])
    further = {system: lambda number, rank=rank: 1 + (number + rank) % 12 for rank, system in enumerate([*SYSTEMS][3:])}
    page = write_report(workspace_of(dataset, source, further=further)).read_bytes()
    assert len(page) < 5_000_000
    assert "The page has room for" in page.decode()


@given(st.text())
def test_what_is_shown_has_no_unseen_characters(text: str) -> None:
    kinds = {unicodedata.category(each) for each in visible(text) if each not in "\u200c\u200d\u00ad"}
    assert not kinds & {"Cc", "Cf", "Cs", "Co", "Cn"}


@given(st.recursive(st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_json_for_a_script_comes_back_and_cannot_end_it(value: Any) -> None:
    text = as_json(value)
    assert json.loads(text) == value
    assert not set(text) & set("<>&\u2028\u2029")


@given(st.text(max_size=400), st.lists(st.text(min_size=1, max_size=8), max_size=3), st.integers(20, 200))
def test_an_excerpt_keeps_to_its_limit_and_loses_nothing_of_short_texts(
    text: str, answers: list[str], limit: int
) -> None:
    pieces, cut = excerpt(text, answers, limit)
    assert len("".join(pieces)) <= limit + 2
    if not cut:
        assert "".join(pieces) == visible(text)


def test_an_answer_far_into_a_passage_is_shown_and_marked() -> None:
    pieces, cut = excerpt("Nothing here. " * 200 + "The tower stands in Paris, France.", ("paris",), 300)
    assert pieces[1::2] == ["Paris"]
    assert cut > 2_000
    assert excerpt("Parisian cafés", ("Paris",), 300) == (["Parisian cafés"], 0)
