"""What a user can get wrong ends in exit code 2 and one line that says what, where and what to do; nothing is lost."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from rankstill.config import Config, write_config
from rankstill.outcome import Outcome
from rankstill.workspace import FORMAT
from toy import TOY_STEPS

Lines = list[str]
Command = Callable[..., Any]


@pytest.fixture
def config_file(toy_config: Callable[..., Config], tmp_path: Path) -> Path:
    """A good config; the tests put one thing wrong with a flag."""
    path = tmp_path / "config.yaml"
    path.write_text(write_config(toy_config()))
    return path


def contents(workspace: Path) -> dict[str, bytes]:
    """What the steps made, and the manifest that says so."""
    steps = json.loads((workspace / "manifest.json").read_text())["steps"]
    places = [workspace / name for record in steps.values() for name in record["outputs"]]
    files = [each for place in places for each in (place.rglob("*") if place.is_dir() else [place]) if each.is_file()]
    return {str(path.relative_to(workspace)): path.read_bytes() for path in (*files, workspace / "manifest.json")}


def changed(line: str, **fields: object) -> str:
    return json.dumps({**json.loads(line), **fields})


def unknown_passage(lines: Lines) -> Lines:
    """The third line names a passage that the corpus does not have, among its candidates and in its ranking."""
    return [*lines[:2], lines[2].replace(json.loads(lines[2])["ranking"][-1], "no-such-passage"), *lines[3:]]


def not_a_candidate(lines: Lines) -> Lines:
    return [*lines[:2], changed(lines[2], ranking=["p-other"]), *lines[3:]]


def placed_twice(lines: Lines) -> Lines:
    ranking = json.loads(lines[2])["ranking"]
    return [*lines[:2], changed(lines[2], ranking=[*ranking, ranking[0]]), *lines[3:]]


def ranked_twice(lines: Lines) -> Lines:
    return [*lines, lines[2]]


def broken_json(lines: Lines) -> Lines:
    return [*lines[:2], lines[2][:-5], *lines[3:]]


def no_object(lines: Lines) -> Lines:
    return [*lines[:2], json.dumps(json.loads(lines[2])["ranking"]), *lines[3:]]


def no_ranking(lines: Lines) -> Lines:
    return [*lines[:2], changed(lines[2], ranking=[]), *lines[3:]]


def lists_for_ids(lines: Lines) -> Lines:
    return [*lines[:2], changed(lines[2], ranking=[["p1"]]), *lines[3:]]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (unknown_passage, ["line 3", "candidates that the corpus does not have (no-such-passage)", "Use the corpus"]),
        (not_a_candidate, ["line 3", "ranks p-other, not among its candidates", "must be a permutation"]),
        (placed_twice, ["line 3", "more than once in its ranking", "must be a permutation"]),
        (ranked_twice, ["line 25", "is ranked twice (first on line 3)", "Keep one ranking a query"]),
        (broken_json, ["line 3", "broken JSON", "one JSON object"]),
        (no_object, ["line 3", "expected a JSON object here, not a list"]),
        (no_ranking, ["line 3", "fewer than two candidates", "Take the line out"]),
        (lists_for_ids, ["line 3", '"ranking" must be a string, not a list']),
    ],
)
def test_bad_rankings_are_named_by_file_and_line(
    spoil: Callable[[Lines], Lines],
    said: list[str],
    command: Command,
    config_file: Path,
    finished: Outcome,
    tmp_path: Path,
) -> None:
    lines = (finished.workspace / "rankings.jsonl").read_text().splitlines()
    bad = tmp_path / "bad.jsonl"
    bad.write_text("\n".join(spoil(lines)) + "\n")
    workspace = shutil.copytree(finished.workspace, tmp_path / "w")
    message = command("run", config_file, "-w", workspace, "--rankings", bad).one_error()
    assert "bad.jsonl" in message
    assert all(part in message for part in said), message
    assert contents(workspace) == contents(finished.workspace)


def test_rankings_in_another_encoding_are_named_by_file_and_line(
    command: Command, config_file: Path, finished: Outcome, tmp_path: Path
) -> None:
    first = (finished.workspace / "rankings.jsonl").read_text().splitlines()[0]
    spoiled = json.dumps({**json.loads(first), "teacher": "modèle"}, ensure_ascii=False)
    (tmp_path / "latin.jsonl").write_bytes(f"{first}\n{spoiled}\n".encode("latin-1"))
    message = command("run", config_file, "-w", tmp_path / "w", "--rankings", tmp_path / "latin.jsonl").one_error()
    assert "latin.jsonl, line 2" in message
    assert "is not UTF-8. Convert the file" in message
    assert not (tmp_path / "w" / "manifest.json").exists()  # found before anything was made


def test_rankings_with_a_byte_order_mark_are_read(
    command: Command, config_file: Path, finished: Outcome, tmp_path: Path
) -> None:
    rankings = tmp_path / "marked.jsonl"
    rankings.write_bytes(b"\xef\xbb\xbf" + (finished.workspace / "rankings.jsonl").read_bytes())
    said = command("teach", config_file, "-w", tmp_path / "w", "--rankings", rankings)
    assert said.code == 0, said.errors
    assert (tmp_path / "w" / "rankings.jsonl").read_bytes() == (finished.workspace / "rankings.jsonl").read_bytes()


@pytest.mark.parametrize("name", ["absent.jsonl", ""])
def test_rankings_that_are_no_file_are_named(command: Command, config_file: Path, tmp_path: Path, name: str) -> None:
    message = command("teach", config_file, "-w", tmp_path / "w", "--rankings", tmp_path / name).one_error()
    assert message.startswith(f"rankings file {tmp_path / name}: there is no such file. Set teacher.rankings")


def test_a_dataset_without_rankings_beside_it_says_where_they_were_looked_for(
    command: Command, config_file: Path, toy_dataset_folder: Path, tmp_path: Path
) -> None:
    toy = shutil.copytree(toy_dataset_folder, tmp_path / "toy")
    (toy / "rankings.jsonl").unlink()
    message = command("teach", config_file, "-w", tmp_path / "w", "--source", toy).one_error()
    assert message.startswith(f"rankings file {toy / 'rankings.jsonl'}: there is no such file. Set teacher.rankings")


def test_queries_without_a_ranking_and_rankings_without_a_query_are_counted_and_named(
    command: Command, config_file: Path, finished: Outcome, tmp_path: Path
) -> None:
    lines = (finished.workspace / "rankings.jsonl").read_text().splitlines()
    strangers = [changed(line, query_id=f"stranger-{number}") for number, line in enumerate(lines[:2])]
    (tmp_path / "some.jsonl").write_text("\n".join(lines[3:] + strangers) + "\n")
    said = command("teach", config_file, "-w", tmp_path / "w", "--rankings", tmp_path / "some.jsonl")
    assert said.code == 0, said.errors
    notes = json.loads((tmp_path / "w" / "manifest.json").read_text())["steps"]["rankings"]["notes"]
    for note in notes:
        assert f"note: {note}" in said.errors.splitlines()
    without, stray = sorted(notes)
    assert without.startswith("3 training queries have no ranking (")
    assert json.loads(lines[0])["query_id"] in without
    assert "2 rankings for queries that the dataset does not have" in stray
    assert "(stranger-0, stranger-1)" in stray


def test_rankings_of_another_dataset_are_refused(
    command: Command, config_file: Path, finished: Outcome, tmp_path: Path
) -> None:
    lines = (finished.workspace / "rankings.jsonl").read_text().splitlines()
    strangers = [changed(line, query_id=f"stranger-{number}") for number, line in enumerate(lines)]
    (tmp_path / "other.jsonl").write_text("\n".join(strangers) + "\n")
    message = command("teach", config_file, "-w", tmp_path / "w", "--rankings", tmp_path / "other.jsonl").one_error()
    assert "other.jsonl: no ranking belongs to a query that may teach" in message


def test_a_corpus_smaller_than_k_is_refused(command: Command, config_file: Path, tmp_path: Path) -> None:
    flags = ["--set", "candidates.k=61", "--set", "candidates.n=61"]
    message = command("run", config_file, "-w", tmp_path / "w", *flags).one_error()
    assert message == (
        "toy: the corpus has 60 passages, but candidates.k is 61. Lower candidates.k or use a larger corpus."
    )


def test_a_corpus_smaller_than_n_gives_all_it_has(command: Command, config_file: Path, tmp_path: Path) -> None:
    said = command("label", config_file, "-w", tmp_path / "w", "--set", "candidates.n=100")
    assert said.code == 0, said.errors


def test_no_query_that_may_teach_is_refused(
    command: Command, config_file: Path, toy_dataset_folder: Path, tmp_path: Path
) -> None:
    toy = shutil.copytree(toy_dataset_folder, tmp_path / "toy")
    (toy / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\n")
    message = command("run", config_file, "-w", tmp_path / "w", "--source", toy).one_error()
    assert message.startswith("toy: no query may teach. Check dataset.train_split")


@pytest.mark.parametrize("option", ["retriever.model", "ranker.model"])
@pytest.mark.parametrize("name", ["no-such-user/no-such-model", "no-such-model"])
def test_a_model_that_does_not_exist_is_named(
    command: Command, config_file: Path, finished: Outcome, tmp_path: Path, option: str, name: str
) -> None:
    workspace = shutil.copytree(finished.workspace, tmp_path / "w")
    message = command("run", config_file, "-w", workspace, "--set", f"{option}={name}").one_error()
    assert message.startswith(f'model "{name}" cannot be loaded: ')
    assert "Check the name, your connection (HF_HUB_OFFLINE, HF_TOKEN), or give a local folder" in message
    assert contents(workspace) == contents(finished.workspace)


def test_a_cross_encoder_that_does_not_exist_is_named_before_anything_is_done(
    command: Command, config_file: Path, tmp_path: Path
) -> None:
    message = command("run", config_file, "-w", tmp_path / "w", "--set", "ranker.model=no-such/model").one_error()
    assert message.startswith('model "no-such/model" cannot be loaded: ')
    assert not (tmp_path / "w" / "vectors").exists()


def test_a_model_folder_that_is_not_there_is_named(command: Command, config_file: Path, tmp_path: Path) -> None:
    message = command("run", config_file, "-w", tmp_path / "w", "--retriever", tmp_path / "absent").one_error()
    assert message == f"model folder {tmp_path / 'absent'}: there is no such folder. Check the path."


@pytest.mark.parametrize("option", ["retriever.model", "ranker.model"])
@pytest.mark.parametrize("kept", [0, 100, 20_000])
def test_weights_of_an_interrupted_download_are_called_damaged(
    command: Command,
    config_file: Path,
    finished: Outcome,
    tiny_model_folder: Path,
    tmp_path: Path,
    option: str,
    kept: int,
) -> None:
    model = shutil.copytree(tiny_model_folder, tmp_path / "model")
    whole = (model / "model.safetensors").read_bytes()
    assert len(whole) > kept
    (model / "model.safetensors").write_bytes(whole[:kept])
    workspace = shutil.copytree(finished.workspace, tmp_path / "w")
    message = command("run", config_file, "-w", workspace, "--set", f"{option}={model}").one_error()
    assert message.startswith(f'model "{model}": its weights are damaged, perhaps by an interrupted download')
    assert message.endswith("Download them again.")
    assert contents(workspace) == contents(finished.workspace)


def test_an_unknown_option_is_named(command: Command, config_file: Path, finished: Outcome, tmp_path: Path) -> None:
    workspace = shutil.copytree(finished.workspace, tmp_path / "w")
    config_file.write_text(config_file.read_text().replace("learning_rate", "lerning_rate", 1))
    message = command("run", config_file, "-w", workspace).one_error()
    assert "config.yaml: ranker.lerning_rate: no such option" in message
    assert "rankstill init" in message
    assert contents(workspace) == contents(finished.workspace)


def test_a_workspace_of_another_version_is_refused_and_left_alone(
    command: Command, config_file: Path, finished: Outcome, tmp_path: Path
) -> None:
    workspace = shutil.copytree(finished.workspace, tmp_path / "w")
    manifest = json.loads((workspace / "manifest.json").read_text())
    (workspace / "manifest.json").write_text(json.dumps({**manifest, "format": FORMAT + 1}))
    before = contents(workspace)
    message = command("run", config_file, "-w", workspace).one_error()
    assert f"format {FORMAT + 1}, but this version of rankstill writes format {FORMAT}" in message
    assert "Name another workspace" in message
    assert contents(workspace) == before


def test_a_folder_of_the_users_own_is_no_workspace(command: Command, config_file: Path, tmp_path: Path) -> None:
    before = config_file.read_bytes()
    message = command("run", config_file, "-w", tmp_path).one_error()
    assert f"{tmp_path}: holds files, but is no workspace" in message
    assert config_file.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["config.yaml"]


def test_a_disk_that_is_full_at_any_point_is_one_line_and_more_room_ends_the_same(
    command: Command, config_file: Path, finished: Outcome, tmp_path: Path
) -> None:

    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "tmpfs", str(disk), "-o"]
    if subprocess.run([*mount, "size=16k"], capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk")
    stopped_at: list[str] = []
    done: dict[str, Any] = {}
    with ExitStack() as stack:
        # Lazily, for models that were loaded from there are still mapped.
        stack.callback(subprocess.run, ["umount", "-l", str(disk)], check=True)
        for size in range(16, 4000, 100):
            subprocess.run([*mount, f"remount,size={size}k"], check=True)
            said = command("run", config_file, "-w", disk / "w")
            if said.code == 0:
                break
            message = said.one_error()
            assert "No space left on device" in message
            assert "finished steps are kept" in message
            manifest = disk / "w" / "manifest.json"
            steps = json.loads(manifest.read_text())["steps"] if manifest.exists() else {}
            assert {step: steps[step] for step in done} == done
            done = steps
            stopped_at.append(message.partition("No space left on device ")[2].partition(".")[0])
        assert said.code == 0
        ours, theirs = (
            [path.read_bytes() for path in sorted(each.rglob("*.safetensors"))]
            for each in (disk / "w" / "retriever", finished.retriever)
        )
        assert ours == theirs
        assert (disk / "w" / "metrics.json").read_bytes() == (finished.workspace / "metrics.json").read_bytes()
    assert len(set(stopped_at)) >= 3, stopped_at


def test_in_a_process_of_its_own_too_a_mistake_is_one_line_and_no_traceback(
    config_file: Path, finished: Outcome, tmp_path: Path
) -> None:
    """With a limit on the size of files, as `ulimit -f` sets it."""
    workspace = shutil.copytree(finished.workspace, tmp_path / "w")
    shutil.rmtree(workspace / "reranker")
    ended = subprocess.run(
        [sys.executable, "-c", "from rankstill.cli import main; main()", "run", config_file, "-w", workspace],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)),
    )
    assert ended.returncode == 2, ended.stderr
    lines = ended.stderr.splitlines()
    assert [line for line in lines if line.startswith("error: ")] == lines[-1:]
    assert 'File too large in step "refit the ranker"' in lines[-1]
    assert "Traceback" not in ended.stderr
    assert tuple(json.loads((workspace / "manifest.json").read_text())["steps"]) == TOY_STEPS
