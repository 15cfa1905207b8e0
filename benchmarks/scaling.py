"""From measured rates and stated assumptions to hours, memory, disk and dollars, for corpora of four sizes.

    python benchmarks/scaling.py [--write]

Prints the tables of docs/scaling.md, or writes them there. All figures that go in are in scaling.yaml beside this file,
or in the pages that it names.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
FIGURES = Path(__file__).with_name("scaling.yaml")
PAGE = ROOT / "docs" / "scaling.md"
BEGIN, END = "<!-- made by benchmarks/scaling.py: begin -->", "<!-- end -->"
GB, MB = 1e9, 1e6
BYTES = 4  # of a number in a vector, in single precision
MILLION = 1_000_000
DIMENSIONS, WORDS = 384, 30
"""Of a vector, and of a passage, in docs/growth.csv."""
PASSAGES_BETWEEN = 700_000
"""The two sizes of BM25's index whose memory is compared."""
FIRST_STAGES = 2
"""A worker's lives in which it builds a first stage: to find candidates, and to label."""
MUST_FIT = ("the driver", "a machine's workers")
"""Of a sheet's memory: what one machine must hold at one time."""


@dataclass(frozen=True)
class Sheet:
    """What one scale takes.

    Args:
        hours: by step.
        disk_gb: by what lies there.
        memory_gb: by what is in it; see `MUST_FIT`.
        serving: what `rankstill serve` takes: seconds for 100 queries, and GB of vectors that it maps.
        hardware_dollars: for all hours but the LLM's, during which nothing but a laptop is needed.
        llm_dollars: for the rankings.
    """

    hours: dict[str, float]
    disk_gb: dict[str, float]
    memory_gb: dict[str, float]
    serving: tuple[float, float]
    hardware_dollars: float
    llm_dollars: float


def reckon(figures: dict[str, Any], scale: dict[str, Any]) -> Sheet:
    """The arithmetic, for one of the scales."""
    values = {
        name: each["value"]
        for kind in ("measured", "assumed")
        for name, each in figures[kind].items()
        if isinstance(each, dict)
    }
    hardware, passages = figures["hardware"][scale["hardware"]], scale["passages"]
    hours = {step: each / 3600 for step, each in _seconds(values, scale, hardware).items()}
    vectors = 2 * passages * values["dimensions"] * BYTES
    search = values["search_seconds"] * passages / MILLION / hardware["search"]
    tokens = zip(values["tokens_a_list"], values["llm_price"], strict=True)
    return Sheet(
        hours=hours,
        disk_gb={what: each / GB for what, each in _disk(values, scale, hardware).items()},
        memory_gb={what: each / GB for what, each in _memory(values, scale, hardware).items()},
        serving=(search, vectors / GB),
        hardware_dollars=(sum(hours.values()) - hours["LLM"]) * hardware["dollars_an_hour"] * hardware["count"],
        llm_dollars=values["lists"] * sum(count * price for count, price in tokens) / 1e6,
    )


def _seconds(values: dict[str, Any], scale: dict[str, Any], hardware: dict[str, Any]) -> dict[str, float]:
    """By step; the workers share what they can share, and the driver does the rest by itself."""
    passages, on_ray = scale["passages"], scale["engine"] == "ray"
    workers = hardware["count"] * (values["efficiency"] if hardware["count"] > 1 else 1.0)
    demo = values["demo_passages"]
    long = passages * values["words_a_passage"] / values["demo_words"]  # as many passages as long as the demo's
    encoded = long / (values["passages_a_second"] * hardware["speed"] * workers)
    times = 1 + FIRST_STAGES if on_ray else 1  # the driver, and then all workers at the same time
    tokens = long / demo * values["tokens_seconds"] / hardware["speed"] if scale["multi_vector"] else 0.0
    return {
        "encode passages": encoded,
        "index words": times * passages / MILLION * values["words_a_passage"] / WORDS * values["words_seconds"],
        "copy vectors to each disk": times * passages / MILLION * values["writing_seconds"] if on_ray else 0.0,
        "LLM": values["lists"] * values["seconds_a_call"] / values["calls_at_once"] * values["client_overhead"],
        "encode token by token": tokens,  # by one process, however many workers there are
        "label and train": values["training_seconds"] / hardware["speed"],
        "encode passages again": encoded,
        "evaluation": passages / demo * values["evaluation_seconds"] / hardware["search"],
    }


def _disk(values: dict[str, Any], scale: dict[str, Any], hardware: dict[str, Any]) -> dict[str, float]:
    """Bytes: of each worker, of the driver, and of the store, whose parts are those of text and vectors."""
    passages, on_ray = scale["passages"], scale["engine"] == "ray"
    text = passages * values["bytes_of_text_a_passage"]
    vectors = passages * values["dimensions"] * BYTES
    tokens = passages * values["token_bytes_a_word"] * values["words_a_passage"] if scale["multi_vector"] else 0.0
    words = passages * values["bm25_bytes_a_passage"]
    worker = text + vectors + words if on_ray else 0.0
    store = text + 2 * vectors if on_ray else 0.0
    return {
        "the driver's text": text,
        "the driver's vectors, before and after": 2 * vectors,
        "the driver's token vectors": tokens,
        "the driver's BM25": words,
        "the store": store,
        "each worker's text, vectors and BM25": worker,
        "all": text + 2 * vectors + tokens + words + store + hardware["count"] * worker,
    }


def _memory(values: dict[str, Any], scale: dict[str, Any], hardware: dict[str, Any]) -> dict[str, float]:
    """Bytes, at most: of the driver, and of one machine's workers, which are gone when the driver needs most."""
    passages = scale["passages"]
    words = passages * (values["words_mb"] - values["words_mb_before"]) * MB / PASSAGES_BETWEEN
    ids = passages * values["bytes_of_ids_a_passage"]
    index = passages * values["index_bytes_a_passage"] if scale["index"] else 0.0
    worker = values["worker_mb"] * MB + words if scale["engine"] == "ray" else 0.0
    return {
        "the driver's BM25, while it is made": words,
        "the driver": values["peak_gb"] * GB + ids + index + words,
        "each worker": worker,
        "a machine's workers": worker * hardware["count"] / hardware["machines"],
    }


def tables(figures: dict[str, Any]) -> str:
    """All tables as Markdown: what comes out, which settings, and everything that went in."""
    scales = figures["scales"]
    sheets = [reckon(figures, scale) for scale in scales]
    machines = [figures["hardware"][scale["hardware"]] for scale in scales]
    rows = [["passages", *(scale["name"] for scale in scales)], ["---", *("---:" for _ in scales)]]
    rows += [["on", *(machine["name"] for machine in machines)]]
    rows += [[step, *(_time(sheet.hours[step]) for sheet in sheets)] for step in sheets[0].hours]
    rows += [["**all**", *(f"**{_time(sum(sheet.hours.values()))}**" for sheet in sheets)]]
    rows += [[f"disk: {what}", *(_size(sheet.disk_gb[what]) for sheet in sheets)] for what in sheets[0].disk_gb]
    rows += [["memory of a machine", *(_size(machine["memory_gb"]) for machine in machines)]]
    for what in sheets[0].memory_gb:
        sizes = [_fitting(what, sheet, machine) for sheet, machine in zip(sheets, machines, strict=True)]
        rows += [[f"memory: {what}", *sizes]]
    rows += [["`rankstill serve`: 100 queries", *(_time(sheet.serving[0] / 3600) for sheet in sheets)]]
    rows += [["`rankstill serve`: vectors, mapped", *map(_mapped, sheets, machines)]]
    rows += [["hardware", *(_dollars(sheet.hardware_dollars) for sheet in sheets)]]
    rows += [["LLM", *(_dollars(sheet.llm_dollars) for sheet in sheets)]]
    names = ("engine.kind", "multi_vector.make", "candidates.index")
    settings = [["passages", *(f"`{name}`" for name in names)], ["---"] * 4]
    for scale in scales:
        index, late = scale["index"] or "null", str(scale["multi_vector"]).lower()
        settings.append([scale["name"], scale["engine"], late, f"`{index}`"])
    return "\n\n".join(["## The sheet", _markdown(rows), "## Settings", _markdown(settings), *_went_in(figures)])


def _fitting(what: str, sheet: Sheet, machine: dict[str, Any]) -> str:
    size = _size(sheet.memory_gb[what])
    return f"**{size}: does not fit**" if what in MUST_FIT and sheet.memory_gb[what] > machine["memory_gb"] else size


def _mapped(sheet: Sheet, machine: dict[str, Any]) -> str:
    size = sheet.serving[1]
    return f"{_size(size)}: **read from the disk each time**" if size > machine["memory_gb"] else _size(size)


def _went_in(figures: dict[str, Any]) -> list[str]:
    said = []
    for kind in ("measured", "assumed"):
        part = figures[kind]
        rows = [["figure", "value", "what"], ["---", "---:", "---"]]
        rows += [
            [f"`{name}`", _value(each["value"]), each["what"] + (f" ({each['page']})" if "page" in each else "")]
            for name, each in part.items()
            if isinstance(each, dict)
        ]
        machines = [f"{part['machines']}."] if kind == "measured" else []
        said += [f"## {kind.capitalize()}, {part['date']}", *machines, _markdown(rows)]
    columns = ["hardware", "workers", "machines", "GB each", "encoding", "search", "$ an hour, a worker", "assumed"]
    rows = [columns, ["---", *["---:"] * 6, "---"]]
    for each in figures["hardware"].values():
        numbers = [str(each["count"]), str(each["machines"]), f"{each['memory_gb']:,}"]
        speeds = [f"{each[name]} x" for name in ("speed", "search")]
        rows.append([each["name"], *numbers, *speeds, f"{each['dollars_an_hour']:.2f}", each["assumed"]])
    return [*said, f"## Hardware, assumed, {figures['assumed']['date']}", _markdown(rows)]


def _markdown(rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _value(value: Any) -> str:
    return " and ".join(map(_value, value)) if isinstance(value, list) else f"{float(value):,.10g}"


def _time(hours: float) -> str:
    if not hours:
        return "–"
    if hours < 1 / 60:
        return f"{hours * 3600:.0f} s" if hours * 3600 >= 1 else "< 1 s"
    if hours < 2:
        return f"{hours * 60:.0f} min"
    return f"{hours:,.0f} h" if hours < 72 else f"{hours / 24:,.0f} days"


def _size(gigabytes: float) -> str:
    if not gigabytes:
        return "–"
    if gigabytes < 1:
        return f"{gigabytes * 1000:.0f} MB" if gigabytes >= 0.0005 else "< 1 MB"
    return f"{gigabytes:,.1f} GB" if gigabytes < 10 else f"{gigabytes:,.0f} GB"


def _dollars(dollars: float) -> str:
    return f"${dollars:,.2f}" if dollars < 10 else f"${dollars:,.0f}"


def read_figures(path: Path = FIGURES) -> dict[str, Any]:
    """What goes in, with the figures that other pages hold."""
    figures: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    for each in figures["measured"].values():
        if isinstance(each, dict) and "find" in each:
            found = re.search(each["find"], (ROOT / each["page"]).read_text(encoding="utf-8"))
            if found is None:
                raise ValueError(f"{each['page']}: nothing in it is {each['find']}")
            each["value"] = float(f"{float(found.group(1).replace(',', '')):.4g}")
    return figures


def main() -> None:
    """Print the tables, or write them into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="into docs/scaling.md")
    made = tables(read_figures())
    if not parser.parse_args().write:
        print(made)  # noqa: T201
        return
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{made}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
