"""The scaling sheet: the page says what the script reckons, and the script reckons what can be worked by hand."""

from __future__ import annotations

import csv
import importlib.util
import re
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


@pytest.fixture
def by_hand(figures: dict[str, Any]) -> dict[str, Any]:
    """Passages of 100 words, on two machines of two workers each at 90 %, ten times as fast as those measured.

    Measured with passages of 200 words: 100 encoded a second; 1,000 of them token by token in 40 s.
    """
    machine = {"count": 4, "machines": 2, "speed": 10, "search": 10, "dollars_an_hour": 3.0, "memory_gb": 50}
    figures["hardware"] = {"two": machine}
    round_numbers = {
        "measured": {
            **{"demo_passages": 1000, "demo_words": 200, "passages_a_second": 100},
            **{"tokens_seconds": 40, "training_seconds": 600},
            **{"evaluation_seconds": 2, "peak_gb": 3, "words_seconds": 30, "words_mb": 700},
            **{"words_mb_before": 560, "writing_seconds": 20, "worker_mb": 800, "search_seconds": 2},
        },
        "assumed": {
            **{"words_a_passage": 100, "token_bytes_a_word": 50, "dimensions": 384, "lists": 500},
            **{"efficiency": 0.9, "bm25_bytes_a_passage": 500, "bytes_of_text_a_passage": 600},
            **{"bytes_of_ids_a_passage": 16, "index_bytes_a_passage": 56},
            **{"tokens_a_list": [2000, 100], "llm_price": [0.5, 2]},
        },
    }
    for kind, values in round_numbers.items():
        for name, value in values.items():
            figures[kind][name]["value"] = value
    return figures


SCALE = {"passages": 7_200_000, "hardware": "two", "multi_vector": False, "index": None}


def test_hours_on_ray_worked_by_hand(scaling: ModuleType, by_hand: dict[str, Any]) -> None:
    sheet = scaling.reckon(by_hand, {**SCALE, "engine": "ray"})
    seconds = {step: hours * 3600 for step, hours in sheet.hours.items()}
    # 7.2 million of 100 words are 3.6 million of 200; 100 x 10 x 4 x 0.9 = 3,600 a second.
    assert seconds["encode passages"] == pytest.approx(1000)
    assert seconds["encode passages again"] == pytest.approx(1000)
    # 7.2 million passages, of 100 words and not 30, at 30 s a million; by the driver, and twice by every worker.
    assert seconds["index words"] == pytest.approx(3 * 720)
    assert seconds["copy vectors to each disk"] == pytest.approx(3 * 144)
    assert seconds["encode token by token"] == 0
    assert seconds["label and train"] == pytest.approx(60)
    assert seconds["evaluation"] == pytest.approx(1440)
    working = sum(sheet.hours.values()) - sheet.hours["LLM"]
    assert sheet.hardware_dollars == pytest.approx(working * 4 * 3.0)
    assert sheet.llm_dollars == pytest.approx(500 * (2000 * 0.5 + 100 * 2) / 1e6)


def test_every_workers_disk_and_memory_count(scaling: ModuleType, by_hand: dict[str, Any]) -> None:
    sheet = scaling.reckon(by_hand, {**SCALE, "engine": "ray"})
    text, vectors, words = 7.2 * 0.6, 7.2 * 1.536, 7.2 * 0.5
    assert sheet.disk_gb["each worker's text, vectors and BM25"] == pytest.approx(text + vectors + words)
    driver, store = text + 2 * vectors + words, text + 2 * vectors
    assert sheet.disk_gb["all"] == pytest.approx(driver + store + 4 * (text + vectors + words))
    # BM25's memory grew by 140 MB with 700,000 passages: 200 bytes each. Two of the four workers are on one machine.
    assert sheet.memory_gb["each worker"] == pytest.approx(0.8 + 1.44)
    assert sheet.memory_gb["a machine's workers"] == pytest.approx(2 * 2.24)
    assert sheet.memory_gb["the driver"] == pytest.approx(3 + 7.2 * (0.016 + 0.2))


def test_here_everything_is_made_once(scaling: ModuleType, by_hand: dict[str, Any]) -> None:
    by_hand["hardware"]["two"].update(count=1, machines=1)
    sheet = scaling.reckon(by_hand, {**SCALE, "engine": "local", "multi_vector": True, "index": "IVF4096,PQ48"})
    assert sheet.hours["index words"] * 3600 == pytest.approx(720)
    assert sheet.hours["copy vectors to each disk"] == sheet.disk_gb["the store"] == sheet.memory_gb["each worker"] == 0
    # 3.6 million passages of 200 words, 25 a second, ten times as fast here.
    assert sheet.hours["encode token by token"] * 3600 == pytest.approx(3_600_000 / 25 / 10)
    assert sheet.disk_gb["the driver's vectors, before and after"] == pytest.approx(2 * 7.2 * 1.536)
    assert sheet.disk_gb["the driver's token vectors"] == pytest.approx(7.2 * 5)
    assert sheet.memory_gb["the driver"] == pytest.approx(3 + 7.2 * (0.016 + 0.056 + 0.2))
    # Serving: 2 s for a million vectors of 384 dimensions; both retrievers' are mapped.
    assert sheet.serving == pytest.approx((2 * 7.2 / 10, 7.2 * 2 * 0.384 * 4))


def test_what_a_machine_does_not_hold_is_said(scaling: ModuleType, by_hand: dict[str, Any]) -> None:
    by_hand["scales"] = [{**SCALE, "name": "7.2 million", "engine": "ray"}]
    by_hand["hardware"]["two"].update(name="two machines", assumed="nothing")
    row = "| memory: the driver | "
    assert f"{row}4.6 GB |" in scaling.tables(by_hand)
    by_hand["hardware"]["two"]["memory_gb"] = 4
    assert f"{row}**4.6 GB: does not fit** |" in scaling.tables(by_hand)


def test_measured_figures_are_those_of_their_pages(scaling: ModuleType, figures: dict[str, Any]) -> None:
    with (ROOT / "docs" / "growth.csv").open(encoding="utf-8") as file:
        grown = {(row["what"], row["size"]): row for row in csv.DictReader(file)}
    for name, what, size, column in (
        ("words_seconds", "bm25", 1_000_000, "seconds"),
        ("words_mb", "bm25", 1_000_000, "peak_mb"),
        ("words_mb_before", "bm25", 1_000_000 - scaling.PASSAGES_BETWEEN, "peak_mb"),
        ("writing_seconds", "encoding", 1_000_000, "seconds"),
        ("worker_mb", "real-encoding", 10_000, "peak_mb"),
        ("search_seconds", "searching", 1_000_000, "seconds"),
    ):
        assert figures["measured"][name]["value"] == pytest.approx(float(grown[what, str(size)][column]), rel=1e-3)
    steps = dict(re.findall(r"^\| ([a-z]+)\b[^|]*\| (\d+) \|", _page("guides/scale.md"), flags=re.MULTILINE))
    for name, step in (("tokens", "token"), ("training", "labels"), ("evaluation", "evaluation")):
        assert figures["measured"][f"{name}_seconds"]["value"] == float(steps[step])
    others = [each for each in figures["measured"].values() if isinstance(each, dict) and "find" not in each]
    assert {each["page"] for each in others} == {"docs/scaling.md"}  # measured for the sheet, and said there


def _page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def test_every_figure_says_what_it_is_and_when_it_was_taken(figures: dict[str, Any]) -> None:
    for kind in ("measured", "assumed"):
        assert figures[kind].pop("date").year >= 2026
        each_figure = [each for each in figures[kind].values() if isinstance(each, dict)]
        assert all(each["what"] for each in each_figure)
        assert kind == "assumed" or all((ROOT / each["page"]).is_file() for each in each_figure)
    assert all(each["assumed"] for each in figures["hardware"].values())


def test_the_indexes_that_are_named_can_be_made(figures: dict[str, Any]) -> None:
    faiss = pytest.importorskip("faiss")
    for index in filter(None, (scale["index"] for scale in figures["scales"])):
        assert faiss.index_factory(figures["assumed"]["dimensions"]["value"], index).d == 384
