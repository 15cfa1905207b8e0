"""The scaling sheet: the page says what the script reckons, and the script reckons what can be worked by hand."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def scaling() -> ModuleType:
    spec = importlib.util.spec_from_file_location("scaling", ROOT / "benchmarks" / "scaling.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["scaling"] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def figures(scaling: ModuleType) -> dict[str, Any]:
    return scaling.read_figures()


def test_the_page_shows_what_the_script_reckons(scaling: ModuleType, figures: dict[str, Any]) -> None:
    page = scaling.PAGE.read_text(encoding="utf-8")
    shown = page.split(scaling.BEGIN)[1].split(scaling.END)[0]
    assert shown.strip() == scaling.tables(figures), "python benchmarks/scaling.py --write"


def test_a_sheet_worked_by_hand(scaling: ModuleType, figures: dict[str, Any]) -> None:
    # 7.2 million passages of 100 words on two machines at 90 %, each ten times as fast as one that does 100 of 200
    # words a second: 3.6 million / 1,800 a second = 2,000 s.
    figures["hardware"] = {"two": {"count": 2, "speed": 10, "search": 10, "dollars_an_hour": 3.0}}
    figures["measured"]["words_measured"]["value"] = 200
    figures["measured"]["passages_a_second"]["value"] = 100
    figures["measured"]["carried_a_second"]["value"] = 500
    figures["assumed"]["efficiency"]["value"] = 0.9
    figures["assumed"]["words_a_passage"]["value"] = 100
    figures["assumed"]["dimensions"]["value"] = 384
    figures["assumed"].update(lists={"value": 500}, tokens_a_list={"value": [2000, 100]}, llm_price={"value": [0.5, 2]})
    scale = {**figures["scales"][0], "passages": 7_200_000, "hardware": "two"}
    sheet = scaling.reckon(figures, scale)
    assert sheet.hours["encode passages"] == pytest.approx(2000 / 3600)
    # One process carries them all: 3.6 million / (500 x 10) a second.
    assert sheet.hours["carry through the head"] == pytest.approx(720 / 3600)
    assert sheet.disk_gb["passages' vectors"] == pytest.approx(7.2 * 384 * 4 / 1000)
    assert sheet.llm_dollars == pytest.approx(500 * (2000 * 0.5 + 100 * 2) / 1e6)
    working = sum(sheet.hours.values()) - sheet.hours["LLM"]
    assert sheet.hardware_dollars == pytest.approx(working * 2 * 3.0)


def test_every_figure_says_what_it_is_and_when_it_was_taken(figures: dict[str, Any]) -> None:
    for kind in ("measured", "assumed"):
        assert figures[kind].pop("date").year >= 2026
        assert all(each["what"] for each in figures[kind].values() if isinstance(each, dict))
    assert all(each["assumed"] for each in figures["hardware"].values())


def test_the_indexes_that_are_named_can_be_made(figures: dict[str, Any]) -> None:
    faiss = pytest.importorskip("faiss")
    for scale in figures["scales"]:
        assert faiss.index_factory(figures["assumed"]["dimensions_after"]["value"], scale["index"]).d == 1024
