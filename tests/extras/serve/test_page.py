"""The page in a real browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from loopback import Served

import rankstill
from rankstill.config import Config

HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script> ]]> \u202egnp.exe\u202c \u2066 &lt;b&gt; </bdi></li>"


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page whose test fails on whatever the console complains of."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}") or dialog.dismiss())
    opened.on("requestfailed", lambda request: complaints.append(f"not loaded: {request.url}"))
    yield opened
    context.close()
    assert complaints == []


def ids(page: Any, system: str) -> list[str]:
    """Passages of a column as shown."""
    found: list[str] = page.eval_on_selector_all(
        f".column[data-system={system}] .hit", "cards => cards.map(card => card.dataset.id)"
    )
    return found


def test_with_keys_alone_one_searches_walks_opens_marks_and_votes(page: Any, server: Served, tmp_path: Path) -> None:
    page.goto(server.url)
    page.wait_for_selector(".example")
    page.keyboard.press("Escape")  # the field has the focus at first
    page.keyboard.press("/")
    page.keyboard.type("how does crevasse of the glacier change")
    page.keyboard.press("Enter")
    page.wait_for_selector(".hit")
    found = server.search("how does crevasse of the glacier change")
    for system in ("before", "after"):
        assert ids(page, system) == [passage["id"] for passage in found[system]]
    both = set(ids(page, "before")) & set(ids(page, "after"))
    assert page.locator("#lines > path.line").count() == len(both)

    page.keyboard.press("ArrowDown")  # from the field into the first list
    shared = next(row for row, each in enumerate(ids(page, "before")) if each in both)
    for _ in range(shared):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")  # to the same passage in the other list
    focused = page.evaluate("document.activeElement.closest('.hit').dataset.id")
    assert focused == ids(page, "before")[shared]
    page.keyboard.press("Enter")
    assert page.locator(".title[aria-expanded=true]").count() == 1
    page.keyboard.press("r")
    page.wait_for_selector(f".hit[data-id={focused}] .mark[data-grade='1']")
    page.keyboard.press("v")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.locator("#vote-said", has_text="Kept: after is better").wait_for()
    again = server.search("how does crevasse of the glacier change")
    assert again["vote"] == "after"
    assert [passage["mark"] for passage in again["after"] if passage["id"] == focused] == [1]

    page.keyboard.press("?")
    assert page.locator("#help[open]").count() == 1
    page.keyboard.press("Escape")
    page.screenshot(path=str(tmp_path / "page.png"))
    assert (tmp_path / "page.png").stat().st_size > 10_000


def test_searches_are_links_that_back_and_forward_go_through(page: Any, server: Served) -> None:
    first, second = "how does magma of the volcano change", "how does crevasse of the glacier change"
    page.goto(server.url)
    page.wait_for_selector(".example")
    for query in (first, second):
        page.fill("#query", query)
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/?q={query.replace(' ', '+')}&systems=before%2Cafter")
        page.wait_for_function("query => document.title.startsWith(query)", arg=query)
    page.wait_for_selector(".hit")
    page.go_back()
    page.wait_for_function("query => document.getElementById('query').value === query", arg=first)
    page.wait_for_selector("body:not([aria-busy])")
    assert ids(page, "after") == [passage["id"] for passage in server.search(first)["after"]]
    page.go_back()  # to the page as it was opened
    page.wait_for_selector("#welcome:visible")
    assert (page.locator(".hit").count(), page.input_value("#query")) == (0, "")
    page.go_forward()
    page.wait_for_selector(".hit")
    assert page.input_value("#query") == first
    page.goto(f"{server.url}/#q={second}")  # as links were before
    page.wait_for_selector(".hit")
    assert page.input_value("#query") == second


def test_after_an_error_or_an_empty_query_nothing_old_remains(page: Any, server: Served) -> None:
    def nothing_is_shown() -> None:
        for part in (".hit", "#gold li", "#vote:visible", "#tabs button", "#lists:visible", "path.line"):
            assert page.locator(part).count() == 0, part

    query = server.opened.dataset.queries[server.opened.dataset.test[0]].text
    page.goto(f"{server.url}/?q={query}")
    page.wait_for_selector("#gold li")
    page.fill("#query", "  ")
    page.keyboard.press("Enter")
    page.wait_for_selector("#welcome:visible")
    nothing_is_shown()
    page.fill("#query", query)
    page.keyboard.press("Enter")
    page.wait_for_selector("#gold li")
    page.evaluate("() => { window.fetch = () => Promise.reject(new TypeError('cut off')); }")
    page.fill("#query", "another")
    page.keyboard.press("Enter")
    page.locator("#problem", has_text="does not answer").wait_for()
    nothing_is_shown()


def test_an_opened_passage_is_whole_and_its_score_and_id_have_their_names(
    page: Any, toy_dataset_folder: Path, toy_config: Callable[..., Config], tmp_path: Path
) -> None:
    source = shutil.copytree(toy_dataset_folder, tmp_path / "long")
    passages = [json.loads(line) for line in (source / "corpus.jsonl").read_text().splitlines()]
    for passage in passages:
        passage["text"] += " and so on" * 1_000 + " until the end"
    (source / "corpus.jsonl").write_text("".join(json.dumps(passage) + "\n" for passage in passages))
    config = toy_config({"ranker.cross_encoder": False}, source=source)
    with Served(rankstill.distill(config, tmp_path / "w").workspace) as served:
        page.goto(f"{served.url}/?q=how does magma of the volcano change")
        page.wait_for_selector(".hit")
        page.click(".title >> nth=0")
        assert page.text_content(".text >> nth=0").endswith("until the end")
        clipped = "text => text.scrollHeight > text.clientHeight + 1 || text.clientHeight < 400"
        assert not page.eval_on_selector(".text >> nth=0", clipped)
        passage = served.search("how does magma of the volcano change")["before"][0]
        assert page.text_content(".score >> nth=0") == f"score {passage['score']:.3f}"
        assert page.text_content(".id >> nth=0") == f"id {passage['id']}"


def test_any_two_systems_or_more_stand_side_by_side(page: Any, server: Served) -> None:
    def shown() -> list[str]:
        found: list[str] = page.eval_on_selector_all(".column", "lists => lists.map(list => list.dataset.system)")
        pressed = "#systems [aria-pressed=true]"
        assert found == page.eval_on_selector_all(pressed, "buttons => buttons.map(button => button.dataset.system)")
        return found

    query = "how does magma of the volcano change"
    page.goto(f"{server.url}/?q={query}")
    page.wait_for_selector(".column")
    assert shown() == ["before", "after"]
    page.keyboard.press("Escape")
    page.keyboard.press("3")
    page.wait_for_selector(".column[data-system=multi-vector]")
    assert shown() == ["before", "multi-vector", "after"]
    assert page.locator("#vote:visible").count() == 1
    page.click("#systems [data-system=after]")
    page.wait_for_selector(".column[data-system=after]", state="detached")
    assert shown() == ["before", "multi-vector"]
    assert page.locator("#vote:visible").count() == 0  # votes are between before and after
    found = server.search(query, systems=["before", "multi-vector"])
    assert ids(page, "multi-vector") == [passage["id"] for passage in found["multi-vector"]]
    heads = page.eval_on_selector_all(".column-head", "heads => heads.map(head => head.textContent)")
    assert ["Score: cosine" in heads[0], "Score: MaxSim" in heads[1]] == [True, True]
    both = set(ids(page, "before")) & set(ids(page, "multi-vector"))
    assert page.locator("#lines > path.line").count() == len(both)

    page.keyboard.press("1")  # one list alone has nothing to stand beside
    page.locator("#status", has_text="add another before you hide one").wait_for()
    assert shown() == ["before", "multi-vector"]
    page.reload()
    page.wait_for_selector(".column[data-system=multi-vector]")
    for system in "2456789":
        page.keyboard.press("Escape")
        page.keyboard.press(system)
    page.wait_for_selector(".column[data-system=ranker]")
    assert shown() == [system["name"] for system in server.ask("/about").body["systems"]]
    assert page.evaluate("document.documentElement.scrollWidth") <= 1440


def test_a_blind_vote_hides_which_list_is_which_until_it_is_cast(page: Any, server: Served) -> None:
    page.goto(server.url)
    page.wait_for_selector(".example")
    page.click("#blind")
    page.click(".example")
    page.wait_for_selector(".hit")
    assert page.eval_on_selector_all(".column h2", "heads => heads.map(head => head.textContent)") == ["Left", "Right"]
    assert page.locator(".score, .time, .note, .badge, #gold li").count() == 0
    left, _ = page.eval_on_selector_all(".column", "columns => columns.map(column => column.dataset.system)")
    page.click("#vote [data-side=left]")
    page.wait_for_selector(".score")
    query = page.input_value("#query")
    assert server.search(query)["vote"] == left
    last = (server.folder / "votes" / "votes.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["blind"] is True


def test_hostile_passages_and_queries_are_shown_as_the_text_they_are(
    page: Any, toy_dataset_folder: Path, toy_config: Callable[..., Config], tmp_path: Path
) -> None:
    source = shutil.copytree(toy_dataset_folder, tmp_path / "hostile")
    passages = [json.loads(line) for line in (source / "corpus.jsonl").read_text().splitlines()]
    for passage in passages:
        passage |= {"title": HOSTILE, "text": HOSTILE + passage["text"] + "x" * 30_000}
    (source / "corpus.jsonl").write_text("".join(json.dumps(passage) + "\n" for passage in passages))
    config = toy_config({"ranker.cross_encoder": False}, source=source)
    with Served(rankstill.distill(config, tmp_path / "w").workspace) as served:
        page.goto(served.url)
        page.fill("#query", HOSTILE)
        page.keyboard.press("Enter")
        page.wait_for_selector(".hit")
        page.click(".title >> nth=0")
        text = page.text_content(".hit >> nth=0 >> .text")
        assert text.startswith(HOSTILE)
        assert page.text_content(".title >> nth=0") == HOSTILE
        assert page.locator("#lists img, #lists script, #lists b").count() == 0
        assert page.locator(".title > bdi, .text > bdi").count() == 2 * page.locator(".hit").count()
        assert page.evaluate("document.documentElement.scrollWidth") <= 1440


def test_on_a_phone_one_list_is_shown_at_a_time_and_nothing_sticks_out(page: Any, server: Served) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{server.url}/#q=how+does+magma+change")
    page.wait_for_selector(".column[data-system=after] .hit")
    assert page.locator(".column:visible").count() == 1
    page.click("#tabs [data-system=before]")
    page.wait_for_selector(".column[data-system=before] .hit")
    assert page.locator(".column:visible").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") == 390
