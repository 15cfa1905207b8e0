"""The page in a real browser, where one is: Debian's Chromium, driven by Playwright, checked by axe."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from rankstill.data import Dataset
from rankstill.report import write_report


def _axe() -> str | None:
    spec = find_spec("axe_playwright_python")
    if spec is None or not spec.submodule_search_locations:
        return None
    return (Path(next(iter(spec.submodule_search_locations))) / "axe.min.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [1440, 390])
def test_a_point_opens_its_query_by_mouse_and_by_keyboard(toy_workspace: Path, browser: Any, width: int) -> None:
    address = write_report(toy_workspace).resolve().as_uri()
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme="dark")
    complaints: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    dots = page.locator("#plot .dot[data-query]:visible")
    opened = page.locator("#query h3")
    assert dots.count() == 6  # two of the eight queries did not change
    dots.last.click()
    by_mouse = opened.inner_text()
    assert dots.last.get_attribute("aria-label").endswith(by_mouse)
    assert "gold" in page.locator("#query .passages").first.inner_text()
    dots.last.focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    assert opened.inner_text() != by_mouse
    page.select_option("#which", "worse")
    assert page.locator("#list button").count() == 2
    page.click("#theme")
    assert page.locator("html").get_attribute("data-theme") == "light"
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    axe = _axe()
    if axe:
        page.evaluate(axe)
        found = page.evaluate("axe.run()")
        assert [violation["id"] for violation in found["violations"]] == []
    assert complaints == []
    assert [url for url in asked if url != address and not url.startswith("data:")] == []


def test_the_system_to_compare_can_be_chosen_and_plot_list_and_opened_query_follow(
    workspace_of: Callable[..., Path], toy_dataset: Dataset, toy_dataset_folder: Path, browser: Any
) -> None:
    further = {"distilled multi-vector": lambda number: 2 if number == 5 else 4}
    folder = workspace_of(toy_dataset, toy_dataset_folder, further=further)
    page = browser.new_page()
    page.goto(write_report(folder).resolve().as_uri())
    dots = page.locator("#plot .dot[data-query]:visible")
    assert (page.input_value("#system"), dots.count()) == ("0", 6)
    opened = page.locator("#query h3").inner_text()
    page.select_option("#system", label="distilled multi-vector")
    assert page.locator("#query h3").inner_text() == opened
    assert page.locator("#query .new h4").inner_text() == "Distilled multi-vector"
    assert page.locator("#query .facts strong").inner_text() != "+0.500"
    assert dots.count() == 8
    assert page.locator("#plot figcaption:visible").inner_text().startswith("Gains and losses of the distilled multi-")
    gained = page.locator("#list .number").all_inner_texts()
    assert gained == ["+0.131", "\u22120.069", "\u22120.069", "\u22120.069", "\u22120.069", "\u22120.069", *gained[6:]]
    dots.last.click()
    assert page.locator("#query .facts strong").inner_text() == "+0.131"
    assert dots.last.locator("title").inner_html().startswith("+0.131: ")
    page.select_option("#which", "better")
    assert page.locator("#list button").count() == 1


def test_filters_that_nothing_matches_say_so_and_can_be_taken_back(toy_workspace: Path, browser: Any) -> None:
    page = browser.new_page()
    page.goto(write_report(toy_workspace).resolve().as_uri())
    page.fill("#holds", "no such word")
    assert page.inner_text("#count") == "No query of 8 matches both filters."
    page.click("#list button")
    assert (page.locator("#list button").count(), page.input_value("#holds")) == (8, "")


def test_on_a_phone_difference_and_p_are_seen_without_scrolling(toy_workspace: Path, browser: Any) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 900})
    page.goto(write_report(toy_workspace).resolve().as_uri())
    rows = page.locator('.scroll[aria-label="Every system on every measure"] tr')
    for cell in (1, 2):
        box = rows.last.locator("th, td").nth(cell).bounding_box()
        assert box["x"] + box["width"] <= 390


def test_print_keeps_tables_whole(toy_workspace: Path, browser: Any) -> None:
    page = browser.new_page(viewport={"width": 680, "height": 900})  # A4 without its margins
    page.goto(write_report(toy_workspace).resolve().as_uri())
    page.emulate_media(media="print")
    tables = "tables => tables.map(table => [getComputedStyle(table).breakInside, table.getBoundingClientRect().right])"
    found = page.eval_on_selector_all("table", tables)
    assert found
    assert {whole for whole, _ in found} == {"avoid"}
    assert max(right for _, right in found) <= 680


def test_where_every_change_is_a_loss_the_page_opens_on_a_loss(toy_workspace: Path, browser: Any) -> None:
    path = write_report(toy_workspace)
    page_text = path.read_text(encoding="utf-8")
    lost, count = re.subn(r'"before":0\.5,"after":\[1\.0', '"before":0.5,"after":[0.5', page_text)
    assert count == 4
    path.write_text(lost, encoding="utf-8")
    page = browser.new_page()
    page.goto(path.resolve().as_uri())
    assert page.locator("#query .facts strong").inner_text() == "\u22120.500"


def test_a_table_that_goes_on_to_the_right_shows_it_until_one_has_scrolled_there(
    toy_workspace: Path, browser: Any
) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 900}, color_scheme="light")
    page.goto(write_report(toy_workspace).resolve().as_uri())
    scrolled = page.locator('.scroll[aria-label="Every system on every measure"]')
    scrolled.evaluate("each => { each.firstElementChild.style.visibility = 'hidden' }")  # the edges are what is seen
    more = scrolled.screenshot()
    scrolled.evaluate("each => { each.scrollLeft = (each.scrollWidth - each.clientWidth) / 2 }")
    both = scrolled.screenshot()
    scrolled.evaluate("each => { each.scrollLeft = each.scrollWidth }")
    end = scrolled.screenshot()
    assert len({more, both, end}) == 3
