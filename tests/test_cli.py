"""The command line: quick to start, one line for a mistake, and nothing lost when interrupted."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from rankstill.cli import main
from rankstill.config import commented_config, make_config, read_config
from rankstill.report.verdict import Verdict

HEAVY = ("torch", "sentence_transformers", "transformers", "datasets", "ir_datasets", "pyarrow", "scipy", "ir_measures")
COMMANDS = (
    "demo",
    "run",
    "hybrid",
    "candidates",
    "teach",
    "train-ranker",
    "label",
    "train-retriever",
    "evaluate",
    "init",
    "check",
)
START = "from rankstill.cli import main; main()"


@dataclass
class Ran:
    """What a command ended with."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Ran]:
    """Runs `rankstill` with arguments, in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> Ran:
        monkeypatch.setattr(sys, "argv", ["rankstill", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main()
        captured = capsys.readouterr()
        return Ran(int(stopped.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def config(tiny_model_folder: Path, toy_dataset_folder: Path, tmp_path: Path) -> Path:
    """A small experiment on the toy dataset."""
    path = tmp_path / "toy.yaml"
    path.write_text(
        f"""
dataset: {{source: "{toy_dataset_folder}"}}
candidates: {{k: 5, n: 5}}
ranker: {{cross_encoder: false}}
retriever: {{model: "{tiny_model_folder}"}}
""",
        encoding="utf-8",
    )
    return path


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("imported", ["rankstill", "rankstill.cli", "rankstill.config"])
def test_importing_loads_none_of_the_heavy_libraries(imported: str) -> None:
    ran = python("-c", f"import {imported}, sys; print(sorted(set({HEAVY}) & set(sys.modules)))")
    assert ran.stdout == "[]\n", ran.stderr


def test_help_names_every_command_within_a_second() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ran = python("-c", START, "--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert ran.returncode == 0, ran.stderr
    assert all(re.search(rf"^\s+{command}\s", ran.stdout, flags=re.MULTILINE) for command in COMMANDS)
    # Time of its own on the processor: what else the machine does must not fail the test.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0


def test_help_shows_every_command_in_a_group_and_cuts_no_description(
    cli: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.main import get_command

    from rankstill.cli import app

    monkeypatch.setenv("COLUMNS", "80")
    shown = cli("--help").out
    assert max(map(len, shown.splitlines())) <= 80
    assert "Other:" not in shown
    groups = ["Start:", "Run:", "Single steps:", "Judge:", "Inspect:", "Ship:", "Research:"]
    assert [line for line in shown.splitlines() if line in groups] == groups
    words = " ".join(shown.split())
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        first_sentence = command.help.split("\n\n")[0].split(". ")[0].rstrip(".")
        assert f"{name} {' '.join(first_sentence.split())}" in words


def test_every_command_takes_a_workspace_by_w(cli: Callable[..., Ran]) -> None:
    from typer.main import get_command

    from rankstill.cli import app

    commands = dict(get_command(app).commands)  # type: ignore[attr-defined]
    commands |= commands.pop("study").commands
    without = [name for name, command in commands.items() if not any("-w" in each.opts for each in command.params)]
    assert without == ["init", "cache"]  # before there is a workspace, and of all of them


def test_the_shell_can_complete_commands(cli: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> None:
    assert "--install-completion" in cli("--help").out
    asked = {"_RANKSTILL_COMPLETE": "complete_bash", "COMP_WORDS": "rankstill train-", "COMP_CWORD": "1"}
    for name, value in asked.items():
        monkeypatch.setenv(name, value)
    ran = python("-c", f"import sys; sys.argv = ['rankstill']; {START}")
    assert ran.stdout.split() == ["train-ranker", "train-retriever"], ran.stderr


def test_the_version_is_that_of_the_package(cli: Callable[..., Ran]) -> None:
    from importlib.metadata import version

    assert cli("--version").out == f"rankstill {version('rankstill')}\n"


def test_every_public_name_can_be_had_from_the_package() -> None:
    import rankstill

    assert {name: getattr(rankstill, name).__name__ for name in rankstill.__all__} == {
        name: name for name in rankstill.__all__
    }
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        rankstill.nothing  # noqa: B018


def test_init_writes_a_config_that_loads_and_names_the_dataset(cli: Callable[..., Ran]) -> None:
    ran = cli("init", "mine.yaml", "--source", "my/folder")
    assert ran.code == 0
    assert "In it, choose a teacher (docs/teacher.md). Then: rankstill check mine.yaml" in ran.err
    assert read_config("mine.yaml") == make_config({"dataset": {"source": "my/folder"}})


def test_init_full_writes_every_option(cli: Callable[..., Ran]) -> None:
    assert cli("init", "mine.yaml", "--source", "my/folder", "--full").code == 0
    assert Path("mine.yaml").read_text() == commented_config("my/folder")


def test_what_init_writes_runs_as_it_is(
    cli: Callable[..., Ran], toy_dataset_folder: Path, tiny_model_folder: Path
) -> None:
    """But for the retriever, which would come from the hub."""
    assert cli("init", "mine.yaml", "--source", toy_dataset_folder).code == 0
    text = Path("mine.yaml").read_text()
    Path("mine.yaml").write_text(text.replace("sentence-transformers/all-MiniLM-L6-v2", str(tiny_model_folder)))
    assert cli("check", "mine.yaml").code == 0
    ran = cli("label", "mine.yaml", "-w", "mine")
    assert ran.code == 0, ran.err


def test_init_does_not_overwrite(cli: Callable[..., Ran], tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("precious")
    ran = cli("init", "mine.yaml")
    assert (ran.code, ran.err) == (2, "error: mine.yaml: already exists. Name another file or move it away.\n")
    assert (tmp_path / "mine.yaml").read_text() == "precious"


MISTAKES = {
    "run": "say what to work on",
    "check": "say what to work on",
    "run none.yaml": "none.yaml: there is no such config",
    "run toy.yaml --set ranker.epoch=3": "toy.yaml: ranker.epoch: no such option",
    "run toy.yaml --set ranker.epochs": "--set ranker.epochs: write it as SECTION.OPTION=VALUE",
    "run toy.yaml --set teacher.max_cost=": "--set teacher.max_cost=: the value is missing. Write null for none",
    'run toy.yaml --set teacher={"max_cost":5,"max_cost":50}': "max_cost is set twice",
    "run toy.yaml --set ranker.epochs=[1": "--set ranker.epochs=[1: the value is not readable as YAML",
    "run toy.yaml --source nowhere": "nowhere",
    "run --source toy.yaml": "toy.yaml: not a BEIR folder",
    "candidates toy.yaml --retriever ./nowhere": "model folder ./nowhere: there is no such folder",
    "candidates toy.yaml --retriever no-such/model": 'model "no-such/model" cannot be loaded',
    "candidates toy.yaml --set candidates.k=61 --set candidates.n=61": "the corpus has 60 passages",
    "teach toy.yaml --rankings none.jsonl": "rankings file none.jsonl: there is no such file",
    "run toy.yaml --workspace toy.yaml": "toy.yaml: a file, not a folder",
    "init no/such/folder/mine.yaml": "no/such/folder/mine.yaml: cannot be written",
}


@pytest.mark.usefixtures("config")
@pytest.mark.parametrize("command", MISTAKES)
def test_a_mistake_ends_in_one_line_and_exit_code_2(command: str, cli: Callable[..., Ran]) -> None:
    ran = cli(*command.split())
    *progress, error = ran.err.splitlines()
    assert error.startswith("error: ")
    assert MISTAKES[command] in error
    assert ran.code == 2
    assert ran.out == ""
    assert "Traceback" not in ran.err
    assert not any(line.startswith("error") for line in progress)


def test_marks_in_a_message_are_printed_as_they_are(cli: Callable[..., Ran]) -> None:
    ran = cli("run", "[bold]none[/bold].yaml")
    assert ran.err.startswith("error: [bold]none[/bold].yaml: ")


def open_once_it_is_read(pipe: Path) -> int:
    """A descriptor to write to a named pipe, as soon as another process reads it."""
    for _ in range(3000):
        with suppress(OSError):  # nobody reads yet
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        time.sleep(0.02)
    raise TimeoutError(f"nobody reads {pipe}")


def test_interrupted_says_that_nothing_is_lost(tmp_path: Path) -> None:
    pipe = tmp_path / "never.yaml"
    os.mkfifo(pipe)  # reading it waits until someone writes: the command is caught in the midst of its work
    running = subprocess.Popen(
        [sys.executable, "-c", START, "run", str(pipe)],
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        # Where the tests run in a shell's background, they ignore Ctrl-C, and so would what they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    writer = open_once_it_is_read(pipe)
    time.sleep(0.5)  # until it waits: a signal between Python's last look and the system's call is not heard
    running.send_signal(signal.SIGINT)
    _, told = running.communicate(timeout=60)
    os.close(writer)
    assert told.strip() == "Interrupted. Run the same command again: finished steps are kept."
    assert running.returncode == 130


def test_run_ends_with_the_table_and_the_lines_that_load_the_new_retriever(
    cli: Callable[..., Ran], config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whether eight queries show it to be better depends on how the processor rounds.
    monkeypatch.setattr(Verdict, "not_better", False)
    ran = cli("run", config, "--workspace", "mine", "--seed", "3", "--set", "evaluation.resamples=200")
    assert ran.code == 0, ran.err
    for told in ("nDCG@10", "retriever before", "distilled retriever", "BM25", "Workspace: mine"):
        assert told in ran.out
    of_tables = [line for line in ran.out.splitlines() if "   " in line]  # prose is the terminal's to wrap
    assert max(map(len, of_tables)) <= 120
    lines = [line.removeprefix("    ") for line in ran.out.splitlines() if re.match(r"    \S", line)]
    snippet = "\n".join(lines[-3:])
    shown = python("-c", f"{snippet}\nprint(passages.shape, query.shape)")
    assert shown.stdout == "(1, 32) (32,)\n", shown.stderr
    settled = read_config(tmp_path / "mine" / "config.yaml")
    assert (settled.seed, settled.evaluation.resamples) == (3, 200)


def test_a_stage_of_its_own_stops_there_and_the_next_goes_on(
    cli: Callable[..., Ran], config: Path, tmp_path: Path
) -> None:
    assert cli("candidates", config, "-w", "mine").code == 0
    assert (tmp_path / "mine" / "candidates.parquet").exists()
    assert not (tmp_path / "mine" / "rankings.jsonl").exists()
    ran = cli("train-ranker", config, "-w", "mine")
    assert "candidates: already done" in ran.err
    assert (tmp_path / "mine" / "ranker" / "ranker.json").exists()
    assert not (tmp_path / "mine" / "labels.parquet").exists()


def test_flags_set_the_options_that_they_name(
    cli: Callable[..., Ran], config: Path, toy_dataset_folder: Path, tiny_model_folder: Path, tmp_path: Path
) -> None:
    rankings = shutil.copy(toy_dataset_folder / "rankings.jsonl", tmp_path / "mine.jsonl")
    flags = ["--source", toy_dataset_folder, "--rankings", rankings, "--retriever", tiny_model_folder, "--seed", "5"]
    sets = ["--set", "candidates.k=4", "--set", "candidates.n=7", "--set", "candidates.language=null"]
    sets += ["--set", f"ranker.model={tiny_model_folder}"]
    ran = cli("train-ranker", *flags, *sets, "-w", "mine")
    assert ran.code == 0, ran.err
    settled = read_config(tmp_path / "mine" / "config.yaml")
    assert settled.dataset.source == str(toy_dataset_folder)
    assert settled.teacher.rankings == str(rankings)
    assert settled.retriever.model == str(tiny_model_folder)
    assert (settled.seed, settled.candidates.k, settled.candidates.n, settled.candidates.language) == (5, 4, 7, None)


def test_the_model_that_teach_names_is_the_teacher(cli: Callable[..., Ran], config: Path, tmp_path: Path) -> None:
    assert cli("teach", config, "--llm", "some-llm", "-w", "mine").code == 0
    assert read_config(tmp_path / "mine" / "config.yaml").teacher.model == "some-llm"


def test_check_tells_the_sizes_and_that_nothing_leaks(cli: Callable[..., Ran], config: Path) -> None:
    ran = cli("check", config)
    assert ran.code == 0
    assert "60 passages, 24 training, 8 test and 0 unlabelled queries" in ran.out
    assert "leaks: " in ran.out
    assert "leak-free" not in ran.out


@pytest.fixture
def leaking_folder(toy_dataset_folder: Path, tmp_path: Path) -> Path:
    """The toy dataset, three of whose training queries share a gold passage with a test query."""
    folder = shutil.copytree(toy_dataset_folder, tmp_path / "leaking")
    train, test = folder / "qrels" / "train.tsv", folder / "qrels" / "test.tsv"
    shared = [line.split("\t")[1] for line in test.read_text().splitlines()[1:4]]
    rows = train.read_text().splitlines()
    for row, passage in enumerate(shared, 1):
        rows[row] = f"{rows[row].split(chr(9))[0]}\t{passage}\t1"
    train.write_text("\n".join(rows) + "\n")
    return folder


def test_check_tells_how_many_training_queries_leak_and_how_many_do_not(
    cli: Callable[..., Ran], leaking_folder: Path
) -> None:
    ran = cli("check", "--source", leaking_folder)
    assert ran.code == 0
    assert "3 of 8 test queries" in ran.out
    assert "leak-free: 21 training queries." in ran.out


def test_a_note_is_said_once_and_the_end_of_a_run_names_three_things_to_do(
    cli: Callable[..., Ran], config: Path, leaking_folder: Path
) -> None:
    ran = cli("run", config, "--source", leaking_folder, "-w", "my workspace", "--set", "evaluation.resamples=200")
    assert ran.code == 0, ran.err
    assert (ran.out + ran.err).count("3 of 24 training queries leak into the test split") == 1
    _, next_steps = ran.out.split("What to do next:\n")
    assert [line.split("  ")[1] for line in next_steps.splitlines()] == [
        "my workspace/report.html",
        "rankstill serve 'my workspace'",
        "rankstill prove 'my workspace'",
    ]


@pytest.mark.parametrize(
    ("leaks", "said", "never"),
    [
        (
            "drop",
            ("3 of 24 training queries leak into the test split and were dropped", "A run uses these alone"),
            "kept",
        ),
        ("keep", ("were kept; figures on the test split look too good", "A run uses all 24"), "dropped"),
    ],
)
def test_check_says_of_leaks_what_a_run_with_this_config_does(
    cli: Callable[..., Ran], leaking_folder: Path, leaks: str, said: tuple[str, ...], never: str
) -> None:
    ran = cli("check", "--source", leaking_folder, "--set", f"dataset.leaks={leaks}")
    assert ran.code == 0
    for told in said:
        assert told in ran.out
    assert never not in ran.out


@pytest.mark.parametrize(("name", "caveat"), [("scifact", "SciFact is public"), ("nq-open", "NQ-open is public")])
def test_check_says_that_a_dataset_of_the_package_is_public(cli: Callable[..., Ran], name: str, caveat: str) -> None:
    assert f"note: {caveat}" in cli("check", "--source", name).out


def test_check_describes_the_sample_that_a_run_uses(cli: Callable[..., Ran]) -> None:
    said = cli("check", "--source", "scifact-sample").out
    assert "800 passages, 60 training, 60 test" in said
    assert "leak-free" not in said  # the sample has no leak left


def test_check_near_looks_for_near_duplicate_queries_too(
    cli: Callable[..., Ran], config: Path, toy_dataset_folder: Path, tmp_path: Path
) -> None:
    near = cli("check", config, "--near")
    assert near.code == 0, near.err
    assert near.out != cli("check", config).out
