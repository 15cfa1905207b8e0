"""The documentation: it builds, needs no network, and what it shows is true: commands, options, figures, numbers."""

from __future__ import annotations

import ast
import csv
import errno
import importlib
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
import yaml
from llm_server import FakeLLM

from pages import DOCS, PAGES, ROOT, SMALL, commands_in_blocks, rank_by_shared_words, run_command, shown_commands
from rankstill.cli import app
from rankstill.config import Config, DatasetConfig, make_config
from rankstill.config.section import Section
from rankstill.evaluation.systems import MEANINGS
from rankstill.losses.kl import UNLABELLED, distribution, kl_to_ranker
from rankstill.losses.listmle import plackett_luce_nll
from rankstill.teacher.calls import Reading

START = (DOCS / "start.md").read_text(encoding="utf-8")
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
SECTIONS = {
    name: info.annotation
    for name, info in Config.model_fields.items()
    if isinstance(info.annotation, type) and issubclass(info.annotation, Section)
}
REPOSITORY = "code.example.org/owner/rankstill"
FILE_ENDINGS = {"json", "jsonl", "py", "parquet"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; any warning of mkdocs fails here."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    place = {**os.environ, "REPOSITORY_URL": f"https://name:secret@{REPOSITORY}.git"}
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=place)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_every_page_is_built_and_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) >= 20
    loaded = re.compile(r"<(?:script|img|iframe)\b[^>]*\bsrc=\"([^\"]+)|<link\b[^>]*\bhref=\"([^\"]+)")
    for page in pages:
        for source, link in loaded.findall(page.read_text(encoding="utf-8")):
            assert not re.match(r"(https?:)?//", source or link), (page.name, source or link)
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", sheet.read_text(encoding="utf-8")), sheet


def test_the_repository_is_linked_and_nothing_is_asked_of_it(site: Path) -> None:
    page = (site / "index.html").read_text(encoding="utf-8")
    assert f'href="https://{REPOSITORY}"' in page
    assert "secret" not in page
    assert 'data-md-component="source"' not in page


def test_the_navigation_leads_to_every_page() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named = set(re.findall(r": (\S+\.md)$", text, flags=re.MULTILINE))
    assert {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")} <= named
    assert "changelog.md" in named


def test_on_a_phone_no_code_is_cut(site: Path, browser: Any) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 900})
    for name in ("start.html", "studies.html", "guides/deploy.html", "faq.html"):
        page.goto((site / name).resolve().as_uri())
        cut = "all => all.filter(each => each.scrollWidth > each.clientWidth).map(each => each.textContent)"
        assert page.eval_on_selector_all(".md-typeset pre, .md-typeset pre > code", cut) == []


def test_every_message_of_the_troubleshooting_page_is_one_of_the_programs() -> None:
    text = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    listed = re.findall(r"^### `(.*)`$", text, flags=re.MULTILINE)
    said = "\n".join(filter(None, map(said_by, (ROOT / "src").rglob("*.py"))))
    of_the_system = {os.strerror(errno.ENOSPC)}
    assert len(listed) >= 25
    for message in listed:
        for fragment in message.split("…"):
            assert fragment in said or fragment in of_the_system, message


def said_by(path: Path) -> str:
    """The texts in a module's code, each on a line; of one with gaps to fill in, each piece by itself."""
    found = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return "\n".join(each.value for each in found if isinstance(each, ast.Constant) and isinstance(each.value, str))


def test_the_glossary_defines_each_word_once() -> None:
    words = re.findall(r"^\*\*(.*?)\*\*", (DOCS / "glossary.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len(words) == len(set(words))
    assert {"Prior", "First stage", "Distilled", "Ranker", "Hybrid", "Held-out lists", "Link"} <= set(words)


FIRST_READ = [ROOT / "README.md", *(DOCS / f"{name}.md" for name in ("start", "faq", "glossary", "troubleshooting"))]
MADE = [*(DOCS / "studies").glob("*.md"), DOCS / "proof-scifact.md"]
"""Pages that a command writes."""


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page not in MADE], ids=lambda page: str(page.relative_to(ROOT))
)
def test_no_sentence_is_too_long_to_be_read_once(page: Path) -> None:
    text = re.sub(r"^```.*?^```|^\|.*?$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"\{ #.*? \}|\]\(.*?\)", "]", text)
    for sentence in re.split(r"(?<=[.?!:])\s+|\n\n|\n\d\. |\n:   |\n- ", text):
        assert len(sentence.split()) <= (30 if page in FIRST_READ else 35), sentence


def test_the_reference_has_every_command_and_every_option(site: Path) -> None:
    commands = (site / "reference" / "cli.html").read_text(encoding="utf-8")
    every_command = runpy.run_path(str(DOCS / "gen" / "cli_page.py"))["every_command"]
    for name, command in every_command(typer.main.get_command(app), ""):
        assert f">{name}<" in commands or f'id="{name.replace(" ", "-")}"' in commands, name
        for option in command.params:
            assert option.opts[0] in commands, (name, option.opts)
    options = (site / "reference" / "config.html").read_text(encoding="utf-8")
    for section in [Config, *SECTIONS.values()]:
        for name in section.model_fields:
            assert f"<code>{name}</code>" in options or name in SECTIONS, name


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_command_shown_parses_and_sets_options_that_exist(page: Path) -> None:
    for words in shown_commands(page.read_text(encoding="utf-8")):
        command, rest = typer.main.get_command(app), words[1:]
        while hasattr(command, "commands") and rest:
            assert rest[0] in command.commands, f"{shlex.join(words)}: no such command"
            command, rest = command.commands[rest[0]], rest[1:]
        if hasattr(command, "commands"):
            continue  # a group of commands, named as such
        given = command.make_context(words[1], list(rest)).params
        changes = dict(each.split("=", 1) for each in given.get("set_") or [])
        make_config({"dataset": {"source": "x"}}, {name: yaml.safe_load(value) for name, value in changes.items()})


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_option_named_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for section, option in re.findall(rf"`({'|'.join(SECTIONS)})\.([a-z_0-9]+)(?:[:=][^`]*)?`", text):
        assert option in SECTIONS[section].model_fields or option in FILE_ENDINGS, f"{section}.{option}"
    for block in re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL):
        make_config({"dataset": {"source": "x"}, **yaml.safe_load(block)})


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_import_shown_works(page: Path) -> None:
    for block in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "rankstill":
                module = importlib.import_module(str(node.module))
                assert all(hasattr(module, name.name) for name in node.names), ast.unparse(node)


def test_the_tables_of_the_corpora_say_what_their_file_says_on_every_page() -> None:
    corpora = runpy.run_path(str(ROOT / "benchmarks" / "corpora.py"))
    with corpora["FIGURES"].open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for name, table, pages in (
        ("corpora", corpora["table_of"](rows), corpora["PAGES"]),
        ("rivals", corpora["rivals_of"](rows), [corpora["STUDIES"]]),
    ):
        assert len(table.splitlines()) == 2 + len(corpora["ROWS" if name == "corpora" else "RIVALS"])
        for page in pages:
            shown = (
                page.read_text(encoding="utf-8").split(f"<!-- {name}: begin -->")[1].split(f"<!-- {name}: end -->")[0]
            )
            assert shown.strip() == table, page


def test_the_seeds_of_a_corpus_count_by_their_mean_and_are_tested_query_by_query(tmp_path: Path) -> None:
    corpora = runpy.run_path(str(ROOT / "benchmarks" / "corpora.py"))
    gains = {"retriever before": (0.0, 0.0), "distilled retriever": (0.25, 0.75), "BM25": (0.5, 0.5)}
    for seed in (0, 1):
        (tmp_path / str(seed)).mkdir()
        (tmp_path / str(seed) / "metrics.json").write_text("{}")
        measured = {**gains, "ranker": (0.5,)} if seed == 0 else gains
        lines = [f"{query},{system},{of[seed]}" for system, of in measured.items() for query in range(20)]
        (tmp_path / str(seed) / "per-query.csv").write_text("\n".join(["query,system,nDCG@10", *lines]))
    rows = corpora["figures"]("mine", [tmp_path / "0", tmp_path / "1"])
    by_pair = {(row["system"], row["against"]): row for row in rows}
    distilled = by_pair["distilled retriever", "retriever before"]
    assert (distilled["queries"], distilled["seeds"], distilled["value"]) == ("20", "2", "0.5000")
    assert float(distilled["difference"]) == 0.5
    assert float(distilled["p"]) < 0.001
    assert float(by_pair["distilled retriever", "BM25"]["p"]) == 1.0
    table = corpora["table_of"](rows)
    assert "mine, 20 queries, 2 seeds" in table
    assert "| 0.500 [0.500, 0.500], p < 0.001 |" in next(row for row in table.splitlines() if "distilled" in row)
    assert "(1 of 2 seeds)" in next(row for row in table.splitlines() if "**ranker**" in row)


def test_every_number_of_the_losses_page_is_that_of_the_loss_functions() -> None:
    """Every number with three decimals, in the page's order."""
    text = (DOCS / "concepts" / "losses.md").read_text(encoding="utf-8")
    shown = re.findall(r"(?<![\d.])-?\d+\.\d{3}(?!\d)", text)
    computed = [f"{value:.3f}".replace("-0.000", "0.000") for value in [*listmle_by_hand(), *kl_by_hand()]]
    assert shown == computed


def listmle_by_hand() -> Iterator[float]:
    """Scores of B, A, C: the LLM's order."""

    def loss(scores: list[float], known: int) -> tuple[float, list[float]]:
        x = torch.tensor([scores], dtype=torch.float64, requires_grad=True)
        value = plackett_luce_nll(x, torch.tensor([known]))[0]
        value.backward()
        return value.item(), x.grad[0].tolist()

    def steps(scores: list[float]) -> list[float]:
        upto = [0.0, *(loss(scores, known)[0] for known in (1, 2, 3))]
        return [after - before for before, after in pairwise(upto)]

    start, swapped = [1.0, 2.0, 0.0], [2.0, 1.0, 0.0]
    weights = torch.tensor(start, dtype=torch.float64).exp()
    yield from weights.tolist()
    for left, nats in zip((weights.sum(), weights[1:].sum(), None), steps(start), strict=True):
        yield from [] if left is None else [float(left)]
        yield from (torch.tensor(-nats).exp().item(), nats)
    whole, gradient = loss(start, 3)
    yield from (whole, *gradient)
    yield from (loss(swapped, 3)[0], *steps(swapped)[:2])
    part, gradient = loss(start, 1)
    yield from (part, *gradient)


def kl_by_hand() -> Iterator[float]:
    """The ranker's scores of B, A, C, then cosines."""
    labels, cosines = [2.0, 1.0, 0.0], [0.5, 0.6, 0.3]

    def loss(labels: list[float], cosines: list[float], tau_t: float, tau_s: float) -> tuple[float, list[float]]:
        x = torch.tensor([cosines], dtype=torch.float64, requires_grad=True)
        value = kl_to_ranker(x, torch.tensor([labels], dtype=torch.float64), tau_t, tau_s)[0]
        value.backward()
        return value.item(), x.grad[0].tolist()

    def softmax(values: list[float], temperature: float) -> list[float]:
        return distribution(torch.tensor([values], dtype=torch.float64), temperature)[0].tolist()

    ranker, retriever = softmax(labels, 1.0), softmax(cosines, 0.1)
    terms = [p * (torch.tensor(p).log() - torch.tensor(q).log()).item() for p, q in zip(ranker, retriever, strict=True)]
    for row in zip(ranker, retriever, terms, strict=True):
        yield from row
    whole, gradient = loss(labels, cosines, 1.0, 0.1)
    assert whole == pytest.approx(sum(terms), abs=1e-6)
    yield from (whole, *gradient)
    yield from (*softmax(cosines, 0.05), loss(labels, cosines, 1.0, 0.05)[0])
    yield from (*softmax(labels, 0.5), loss(labels, cosines, 0.5, 0.1)[0])
    batch, gradient = loss([*labels, UNLABELLED], [*cosines, 0.45], 1.0, 0.1)
    yield from (softmax([*cosines, 0.45], 0.1)[3], batch, gradient[3])
    squeezed = torch.tensor(labels).sigmoid().tolist()
    yield from (*squeezed, *softmax(squeezed, 1.0))


def test_start_here_leads_to_a_retriever_on_ones_own_data(
    toy_dataset_folder: Path,
    tiny_model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every command and the Python of the page, in their order; judged are the test queries alone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RANKSTILL_LEDGER", str(tmp_path / "ledger.sqlite"))
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    shutil.copytree(toy_dataset_folder, "my-data", ignore=shutil.ignore_patterns("rankings.jsonl", "train.tsv"))
    commands = list(commands_in_blocks(START))
    assert len(commands) == 5
    said = []
    with FakeLLM(rank_by_shared_words) as server:
        for command in commands:
            said.append(run_command(command, monkeypatch, capsys))
            if command[1] == "init":
                change_as_shown(Path("mine.yaml"), server.url, tiny_model_folder)
    assert said[1].startswith("my-data: 60 passages, 24 training, 8 test")
    assert any(said[2].startswith(verdict) for verdict in ("can help", "cannot help", "not sure"))
    assert "expected: " in said[3]
    assert "distilled retriever" in said[4]
    assert Path("my-workspace/report.html").is_file()
    deploy = (DOCS / "guides" / "deploy.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", START + deploy, flags=re.DOTALL)
    assert len(examples) == 7
    exec(compile("\n".join(examples), "start.md and deploy.md", "exec"), {})
    shown = capsys.readouterr().out
    assert shown.count("tensor([[") == 3
    # By the reranker, the hybrid and the multi-vector hybrid, each with its score.
    assert len(re.findall(r"\d Parcels go out on weekdays\.$", shown, re.MULTILINE)) == 3


def change_as_shown(path: Path, endpoint: str, model: Path) -> None:
    """What the page says to change in the config, the endpoint being the fake one; and all small, for a test."""
    values = yaml.safe_load(path.read_text())
    [shown] = re.findall(r"```yaml\n(.*?)```", START, flags=re.DOTALL)
    values["teacher"] = {**yaml.safe_load(shown)["teacher"], "endpoint": endpoint}
    values["retriever"]["model"] = str(model)
    for section, options in SMALL.items():
        values.setdefault(section, {}).update(options)
    path.write_text(yaml.safe_dump(values))


def test_the_architectures_examples_work(tmp_path: Path) -> None:
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    for example in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        exec(compile(example, "architecture.md", "exec"), names)

    (tmp_path / "corpus.tsv").write_text("p1\tone\np2\ttwo\n")
    (tmp_path / "queries.tsv").write_text("q1\twhich\n")
    parts = names["read_tsv"](tmp_path, DatasetConfig(source=str(tmp_path)))
    assert (parts.corpus.ids, parts.corpus.bodies, list(parts.queries)) == (["p1", "p2"], ["one", "two"], ["q1"])

    scores = torch.tensor([[3.0, 1.0, 0.5], [0.0, 1.0, 5.0]])
    # The second list's tail has no order: 1 and 5 are not compared.
    assert names["neighbour_hinge"](scores, torch.tensor([3, 2])).tolist() == [0.5, 2.0]

    asked = names["best_of_all"]([7, 8, 9])
    assert next(asked)[0].shown == (7, 8, 9)
    with pytest.raises(StopIteration) as end:
        asked.send([Reading("exact", (1,))])
    assert (end.value.value.order, end.value.value.own) == ((8, 7, 9), 1)

    qrels, run = {"q1": {"p2": 1}, "q2": {"p1": 1}}, {"q1": {"p1": 2.0, "p2": 1.0}}
    assert names["first_relevant"](run, qrels) == {"q1": 2.0, "q2": 1000.0}
    assert names["first_relevant_compared"](run, run, qrels) == 1.0


@pytest.mark.usefixtures("minilm")
def test_the_notebook_runs_from_top_to_bottom(tmp_path: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(DOCS / "notebook.ipynb", as_version=4)
    NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = json.dumps(notebook)
    assert "distilled retriever" in shown


def test_the_notebook_as_stored_has_the_systems_of_today() -> None:
    stored = json.dumps(json.loads((DOCS / "notebook.ipynb").read_text(encoding="utf-8"))["cells"])
    rows = re.findall(r"\\n\| ([^|]+) \| \d", stored)
    trained_if_asked = {system for system in MEANINGS if system.startswith("distilled multi-vector")}
    assert set(rows) == set(MEANINGS) - trained_if_asked
