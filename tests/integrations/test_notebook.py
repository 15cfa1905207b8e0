"""In a notebook: results render, whatever their names hold, and progress shows as bars or as plain lines."""

from __future__ import annotations

import importlib.util
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import yaml
from integrations_page import small_config

from rankstill.evaluation import EvaluationTable, evaluate_runs
from rankstill.outcome import Outcome

HOSTILE = "<script>alert(1)</script> | [x](javascript:alert(2)) $\\unicode{x}$ \\[y\\] <!-- ]]> *b* `c` &lt;"
SAFE_TAGS = {
    *("div", "p", "strong", "small", "table", "thead", "tbody", "tr", "th", "td", "ul", "li", "code", "img"),
    *("details", "summary"),
}


class Page(HTMLParser):
    """The tags and the text of some HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def table() -> EvaluationTable:
    draw = np.random.default_rng(0)
    qrels = {f"q{number}": {"p1": 1} for number in range(12)}
    runs = {
        name: {query: {f"p{place}": float(draw.random()) for place in range(5)} for query in qrels}
        for name in ("retriever before", HOSTILE)
    }
    return evaluate_runs(runs, qrels, "retriever before", ("nDCG@10", "Hit@1"), resamples=100)


def outcome(table: EvaluationTable | None, folder: Path) -> Outcome:
    return Outcome(folder, folder / "retriever", None, table, (HOSTILE, "two\nlines \u202ereversed \x1b[31m"))


def test_a_table_renders_with_every_figure_that_the_terminal_shows(table: EvaluationTable) -> None:
    page = Page(table._repr_html_())
    assert "table" in page.tags
    for system in table.systems:
        assert f"{system.values['nDCG@10']:.3f} [{system.intervals['nDCG@10'][0]:.3f}" in page.text
    assert "Holm-corrected for 1 comparison." in page.text


def test_names_and_notes_are_text(table: EvaluationTable, tmp_path: Path) -> None:
    for page in (Page(table._repr_html_()), Page(outcome(table, tmp_path)._repr_html_())):
        assert page.tags <= SAFE_TAGS
        assert HOSTILE in page.text


def test_what_is_not_seen_or_turns_the_line_is_replaced_and_notes_end(tmp_path: Path) -> None:
    assert "two lines \ufffdreversed \ufffd[31m" in Page(outcome(None, tmp_path)._repr_html_()).text
    endless = Outcome(tmp_path, tmp_path, None, None, ("<b>" * 1_000_000,))
    assert len(endless._repr_html_()) < 10_000


def test_an_outcome_without_a_table_renders_where_things_lie(tmp_path: Path) -> None:
    page = Page(outcome(None, tmp_path)._repr_html_())
    assert str(tmp_path / "retriever") in page.text
    assert "reranker" not in page.text


def test_an_outcome_shows_its_systems_as_a_figure_whose_styles_stay_its_own(
    table: EvaluationTable, tmp_path: Path
) -> None:
    html = outcome(table, tmp_path)._repr_html_()
    assert 'src="data:image/svg+xml;base64,' in html
    assert "<style" not in html


@pytest.mark.slow
def test_a_chain_run_in_a_notebook_shows_progress_and_its_outcome(
    toy_dataset_folder: Path, tiny_model_folder: Path, tmp_path: Path
) -> None:
    for package in ("nbclient", "ipykernel", "nbformat"):
        pytest.importorskip(package)
    from nbclient import NotebookClient
    from nbformat.v4 import new_code_cell, new_notebook

    small = small_config(toy_dataset_folder, tiny_model_folder)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(small), encoding="utf-8")
    cells = ['import rankstill\nrankstill.distill(rankstill.read_config("mine.yaml"), "my-workspace")']
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = notebook.cells[0].outputs
    said = "".join(output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in outputs)
    assert "candidates ..." in said
    assert "evaluate: done" in said
    assert "\x1b[" not in said
    (result,) = [output for output in outputs if output.output_type == "execute_result"]
    assert "distilled retriever" in Page(result.data["text/html"]).text
    bars = [output for output in outputs if "application/vnd.jupyter.widget-view+json" in output.get("data", {})]
    assert bool(bars) == (importlib.util.find_spec("ipywidgets") is not None)
