"""From measured rates and stated assumptions to hours, memory, disk and dollars, for corpora of four sizes.

    python benchmarks/scaling.py [--write]

Prints the tables of docs/scaling.md, or writes them there. All figures that go in are in scaling.yaml beside this file.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FIGURES = Path(__file__).with_name("scaling.yaml")
PAGE = Path(__file__).resolve().parents[1] / "docs" / "scaling.md"
BEGIN, END = "<!-- made by benchmarks/scaling.py: begin -->", "<!-- end -->"
GB = 1e9
BYTES = 4  # of a number in a vector, in single precision


@dataclass(frozen=True)
class Sheet:
    """What one scale takes.

    Args:
        hours: by step.
        disk_gb: by what lies there.
        memory_gb: of one process, at most; by what it holds.
        hardware_dollars: for all hours but the LLM's, during which nothing but a laptop is needed.
        llm_dollars: for the rankings.
    """

    hours: dict[str, float]
    disk_gb: dict[str, float]
    memory_gb: dict[str, float]
    hardware_dollars: float
    llm_dollars: float


def reckon(figures: dict[str, Any], scale: dict[str, Any]) -> Sheet:
    """The arithmetic, for one of the scales."""
    measured = {name: each["value"] for name, each in figures["measured"].items() if isinstance(each, dict)}
    assumed = {name: each["value"] for name, each in figures["assumed"].items() if isinstance(each, dict)}
    hardware, passages = figures["hardware"][scale["hardware"]], scale["passages"]
    workers = hardware["count"] * (assumed["efficiency"] if hardware["count"] > 1 else 1.0)
    length = assumed["words_a_passage"] / measured["words_measured"]
    once = passages * length / (measured["passages_a_second"] * hardware["speed"] * workers)
    sentences = passages * assumed["sentences_a_passage"] if scale["sentences"] else scale["pseudo_queries"]
    seconds = {
        "encode passages": once,
        "encode sentences": sentences / (measured["sentences_a_second"] * hardware["speed"] * workers),
        "LLM": assumed["lists"] * assumed["seconds_a_call"] / assumed["calls_at_once"] * measured["client_overhead"],
        "search and label": scale["pseudo_queries"]
        * passages
        / (measured["pairs_a_second"] * hardware["search"] * workers),
        "head": float(measured["head_seconds"]),
        # These two are done by one process, however many workers there are.
        "carry through the head": passages * length / (measured["carried_a_second"] * hardware["search"]),
        "evaluation": measured["evaluation_seconds"] * passages / 5183 / hardware["search"],
    }
    hours = {step: each / 3600 for step, each in seconds.items()}
    disk = {
        "text": passages * assumed["bytes_of_text_a_passage"],
        "passages' vectors": passages * assumed["dimensions"] * BYTES,
        "sentences' vectors": sentences * assumed["dimensions"] * BYTES,
        "vectors after": passages * assumed["dimensions_after"] * BYTES,
        "BM25 (each worker has its own)": passages * assumed["bm25_bytes_a_passage"],
    }
    memory = {
        "index for serving": passages * (assumed["dimensions_after"] * scale["whole_bytes"] + scale["code_bytes"]),
    }
    tokens = zip(assumed["tokens_a_list"], assumed["llm_price"], strict=True)
    return Sheet(
        hours=hours,
        disk_gb={what: each / GB for what, each in disk.items()},
        memory_gb={what: each / GB for what, each in memory.items()},
        hardware_dollars=(sum(hours.values()) - hours["LLM"]) * hardware["dollars_an_hour"] * hardware["count"],
        llm_dollars=assumed["lists"] * sum(count * price for count, price in tokens) / 1e6,
    )


def tables(figures: dict[str, Any]) -> str:
    """All tables as Markdown: what comes out, which settings, and everything that went in."""
    scales = figures["scales"]
    sheets = [reckon(figures, scale) for scale in scales]
    machines = [figures["hardware"][scale["hardware"]] for scale in scales]
    rows = [["passages", *(scale["name"] for scale in scales)], ["---", *("---:" for _ in scales)]]
    rows += [["on", *(machine["name"] for machine in machines)]]
    rows += [[step, *(_time(sheet.hours[step]) for sheet in sheets)] for step in sheets[0].hours]
    rows += [["**all**", *(f"**{_time(sum(sheet.hours.values()))}**" for sheet in sheets)]]
    for what in sheets[0].disk_gb:
        rows += [[f"disk: {what}", *(_size(sheet.disk_gb[what]) for sheet in sheets)]]
    rows += [["**disk, all**", *(f"**{_size(sum(sheet.disk_gb.values()))}**" for sheet in sheets)]]
    rows += [[f"memory: {what}", *(_size(sheet.memory_gb[what]) for sheet in sheets)] for what in sheets[0].memory_gb]
    rows += [["hardware", *(_dollars(sheet.hardware_dollars) for sheet in sheets)]]
    rows += [["LLM", *(_dollars(sheet.llm_dollars) for sheet in sheets)]]
    settings = [
        ["passages", "`engine.kind`", "`labels.pseudo_queries`", "`candidates.sentences`", "index for serving"],
        ["---"] * 5,
    ]
    for scale in scales:
        sentences = str(scale["sentences"]).lower()
        settings.append(
            [scale["name"], scale["engine"], f"{scale['pseudo_queries']:,}", sentences, f"`{scale['index']}`"]
        )
    return "\n\n".join(["## The sheet", _markdown(rows), "## Settings", _markdown(settings), *_went_in(figures)])


def _went_in(figures: dict[str, Any]) -> list[str]:
    said = []
    for kind in ("measured", "assumed"):
        part = figures[kind]
        where = f", {part['machine']} ({part['source']})" if kind == "measured" else ""
        rows = [["figure", "value", "what"], ["---", "---:", "---"]]
        rows += [
            [f"`{name}`", _value(each["value"]), each["what"]] for name, each in part.items() if isinstance(each, dict)
        ]
        said += [f"## {kind.capitalize()}, {part['date']}{where}", _markdown(rows)]
    rows = [["hardware", "how many", "encoding", "search", "$ an hour, each", "assumed"], ["---", *["---:"] * 4, "---"]]
    for each in figures["hardware"].values():
        speeds = [f"{each[name]} x" for name in ("speed", "search")]
        rows.append([each["name"], str(each["count"]), *speeds, f"{each['dollars_an_hour']:.2f}", each["assumed"]])
    return [*said, f"## Hardware, assumed, {figures['assumed']['date']}", _markdown(rows)]


def _markdown(rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _value(value: Any) -> str:
    return " and ".join(map(_value, value)) if isinstance(value, list) else f"{float(value):,.10g}"


def _time(hours: float) -> str:
    if hours < 1 / 60:
        return f"{hours * 3600:.0f} s"
    if hours < 2:
        return f"{hours * 60:.0f} min"
    return f"{hours:,.0f} h" if hours < 72 else f"{hours / 24:,.0f} days"


def _size(gigabytes: float) -> str:
    if gigabytes < 1:
        return f"{gigabytes * 1000:.0f} MB"
    return f"{gigabytes:,.1f} GB" if gigabytes < 10 else f"{gigabytes:,.0f} GB"


def _dollars(dollars: float) -> str:
    return f"${dollars:,.2f}" if dollars < 10 else f"${dollars:,.0f}"


def read_figures(path: Path = FIGURES) -> dict[str, Any]:
    """What goes in."""
    figures: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
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
