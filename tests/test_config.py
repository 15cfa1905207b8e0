"""Every option once: YAML in and out, and mistakes that name the option."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from rankstill.config import (
    Config,
    commented_config,
    make_config,
    read_config,
    refuse_unused,
    starting_config,
    write_config,
)
from rankstill.config.unused import unused_options
from rankstill.config.yaml_text import read_yaml
from rankstill.demo import demo_config
from rankstill.errors import RankstillError

MINIMAL = {"dataset": {"source": "scifact"}}
CHANGED = {
    "dataset": {"source": "größe/with: colon", "train_split": None, "leaks": "keep"},
    "candidates": {"k": 5, "n": 50, "language": None},
    "ranker": {"loss": "lambda", "learning_rate": 1e-5},
    "evaluation": {"measures": ["MRR@10"]},
    "seed": 7,
    "device": "cuda:1",
}


def sections() -> dict[str, type[BaseModel]]:
    default = make_config(MINIMAL)
    values = {name: getattr(default, name) for name in Config.model_fields}
    return {name: type(value) for name, value in values.items() if isinstance(value, BaseModel)}


@pytest.mark.parametrize("values", [MINIMAL, CHANGED])
def test_a_config_survives_its_yaml(values: dict[str, object], tmp_path: Path) -> None:
    config = make_config(values)
    path = tmp_path / "config.yaml"
    path.write_text(write_config(config), encoding="utf-8")
    assert read_config(path) == config


@given(st.floats(1e-12, 1e12), st.text(st.characters(codec="utf-8"), min_size=1), st.integers(-(2**40), 2**40))
def test_any_value_survives_yaml_exactly(rate: float, source: str, seed: int) -> None:
    changes = {"dataset.source": source, "ranker.learning_rate": rate, "seed": seed}
    config = make_config({}, changes)
    assert make_config(yaml.safe_load(write_config(config))) == config


def test_the_commented_config_is_the_defaults_and_names_the_dataset(tmp_path: Path) -> None:
    path = tmp_path / "rankstill.yaml"
    path.write_text(commented_config("my: folder # with marks"), encoding="utf-8")
    assert read_config(path) == make_config({"dataset": {"source": "my: folder # with marks"}})


def test_the_commented_config_explains_every_option_on_the_line_above_it() -> None:
    lines = commented_config("folder").splitlines()
    for section in sections().values():
        for option, about in section.model_fields.items():
            rows = [row for row, line in enumerate(lines) if line == f"  # {about.description}"]
            assert any(lines[row + 1].startswith(f"  {option}: ") for row in rows)


def test_the_starting_config_is_the_defaults_in_a_dozen_options(tmp_path: Path) -> None:
    path = tmp_path / "rankstill.yaml"
    path.write_text(starting_config("my: folder # with marks"), encoding="utf-8")
    assert read_config(path) == make_config({"dataset": {"source": "my: folder # with marks"}})
    written = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert sum(len(value) if isinstance(value, dict) else 1 for value in written.values()) == 12


@pytest.mark.parametrize(("chosen", "kind", "limit"), [(1, "api", 5.0), (2, "api", None), (3, "recorded", None)])
def test_each_choice_of_teacher_loads_when_it_alone_is_active(
    chosen: int, kind: str, limit: float | None, tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").write_text(with_teacher(chosen, starting_config("folder")), encoding="utf-8")
    teacher = read_config(tmp_path / "mine.yaml").teacher
    assert (teacher.kind, teacher.max_cost) == (kind, limit)


def with_teacher(chosen: int, text: str) -> str:
    """The starting config as one is told to change it: one block without "# ", the others with it."""
    lines, block = [], 0
    for line in text.splitlines():
        heading = re.match(r"  # (\d)\. ", line)
        block = int(heading[1]) if heading else block if line else 0
        if block and re.match(r"  (# )?[a-z_]+: ", line):
            option = line.removeprefix("  # ").removeprefix("  ")
            line = f"  {option}" if block == chosen else f"  # {option}"
        lines.append(line)
    return "\n".join(lines)


def test_every_option_says_what_it_is() -> None:
    for name, section in sections().items():
        assert section.__doc__, name
        for option, about in section.model_fields.items():
            assert about.description, f"{name}.{option}"


def test_changes_by_dotted_path_stand_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("dataset: {source: there, leaks: keep}\nranker: {epochs: 3}\nseed: 1\n")
    config = read_config(path, {"ranker.prior": False, "labels.unranked": 7, "dataset.source": "here", "seed": 2})
    assert (config.dataset.source, config.dataset.leaks) == ("here", "keep")
    assert (config.ranker.prior, config.ranker.epochs, config.labels.unranked) == (False, 3, 7)
    assert config.seed == 2


def test_an_empty_section_means_its_defaults(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("dataset: {source: there}\nranker:\n")
    assert read_config(path) == make_config({"dataset": {"source": "there"}})
    assert read_config(path, {"ranker.epochs": 2}).ranker.epochs == 2


def test_a_change_inside_what_is_no_section_does_not_hide_the_mistake() -> None:
    with pytest.raises(RankstillError, match="config: ranker: it is set to one value"):
        make_config({**MINIMAL, "ranker": 3}, {"ranker.epochs": 2})


@pytest.mark.parametrize("values", [MINIMAL, {**MINIMAL, "labels": {"unranked": 30}}])
def test_a_change_below_an_option_that_has_a_value_is_an_error_and_not_ignored(values: dict[str, object]) -> None:
    with pytest.raises(RankstillError, match=r"^config: labels\.unranked: .*(below it|integer)"):
        make_config(values, {"labels.unranked.x": 3})


def test_a_change_below_an_option_that_is_null_sets_it() -> None:
    config = make_config({**MINIMAL, "rag": {"reader": None}}, {"rag.reader.kind": "api", "rag.reader.model": "m"})
    assert config.rag.reader is not None
    assert config.rag.reader.model == "m"


def test_a_change_of_a_whole_section_keeps_the_limits_that_it_does_not_name() -> None:
    values = {**MINIMAL, "teacher": {"kind": "api", "model": "small", "max_cost": 5}}
    config = make_config(values, {"teacher": {"model": "large"}})
    assert (config.teacher.model, config.teacher.max_cost) == ("large", 5)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("teacher: {max_cost: 5}\nteacher:\n  kind: api\n", "teacher is set twice, on lines 2 and 3"),
        ("teacher:\n  max_cost: 5\n  kind: recorded\n  max_cost:\n", "teacher.max_cost is set twice, on lines 3 and 5"),
        ("teacher: {max_cost: 5, max_cost: 500}\n", "teacher.max_cost is set twice, on line 2"),
        (
            "seed: 1\nteacher: {prices: {m: {input: 1}, m: {input: 2}}}\nseed: 2\n",
            "teacher.prices.m is set twice, on li",
        ),
    ],
)
def test_what_yaml_would_silently_drop_because_it_is_set_twice_is_an_error(
    content: str, told: str, tmp_path: Path
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"dataset: {{source: there}}\n{content}")
    with pytest.raises(RankstillError) as caught:
        read_config(path)
    assert told in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_an_anchor_used_twice_is_not_an_option_set_twice(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("dataset: {source: there}\ncandidates: {k: &many 20, n: *many}\n")
    assert read_config(path).candidates.n == 20


def test_an_alias_inside_its_own_anchor_does_not_hang() -> None:
    read = read_yaml("top: &a {inside: *a}", "config")
    assert read["top"]["inside"] is read["top"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_a_config_as_windows_writes_it_is_read(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes("dataset: {source: größe}\r\n".encode(encoding))
    assert read_config(path).dataset.source == "größe"


@pytest.mark.parametrize("written", ["no", "off", "yes"])
def test_a_word_that_yaml_reads_as_true_or_false_is_told_with_both_cures(written: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"dataset: {{source: there, train_split: {written}}}\n")
    with pytest.raises(RankstillError, match=r"dataset\.train_split: .* false or true\. Put it in quotes .* null"):
        read_config(path)


@pytest.mark.parametrize("written", ["2020", "2020-01-02", "1.5"])
def test_a_number_where_text_is_wanted_is_told_to_be_quoted(written: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"dataset: {{source: there, test_split: {written}}}\n")
    with pytest.raises(RankstillError, match=r"dataset\.test_split: text is expected.*in quotes"):
        read_config(path)


def test_several_mistakes_are_told_at_once_and_the_rest_counted() -> None:
    with pytest.raises(RankstillError) as caught:
        make_config(MINIMAL, {"ranker.epochs": "many", "seed": "x", **{f"labels.no{i}": 1 for i in range(10)}})
    message = str(caught.value)
    assert message.count("no such option") == 10
    assert "; and 2 more." in message


def test_changing_a_config_leaves_the_given_values_alone() -> None:
    values = {"dataset": {"source": "there"}}
    make_config(values, {"dataset.source": "here"})
    assert values == {"dataset": {"source": "there"}}


WRONG = {
    "ranker.epoch": ({"ranker": {"epoch": 3}}, "no such option"),
    "rankr": ({"rankr": {"epochs": 3}}, "no such option"),
    "dataset.souce": ({"dataset": {"souce": "there"}}, "no such option"),
    "ranker.epochs": ({"ranker": {"epochs": "many"}}, "integer"),
    "candidates.b": ({"candidates": {"b": 2.0}}, "less than or equal to 1"),
    "ranker.loss": ({"ranker": {"loss": "mse"}}, "'listmle'"),
    "dataset.source": ({"dataset": {}}, "required"),
    "candidates": ({"candidates": [1, 2]}, "a section, with its options below it"),
    "engine.store": ({"engine": {"store": "sftp://me:hunter2@box/store"}}, "a password in it"),
    "teacher.parameters": ({"teacher": {"parameters": {"x": [{"aws_secret_access_key": "hunter2"}]}}}, "like a key"),
}


@pytest.mark.parametrize("option", WRONG)
def test_a_wrong_option_is_named_in_one_line_with_what_is_wrong(option: str) -> None:
    values, told = WRONG[option]
    with pytest.raises(RankstillError) as caught:
        make_config({**MINIMAL, **values}, where="my.yaml")
    message = str(caught.value)
    assert message.startswith(f"my.yaml: {option}: ")
    assert told in message
    assert "\n" not in message
    assert "hunter2" not in message


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"candidates.k": 10, "candidates.n": 5}, "config: candidates.n must be at least candidates.k"),
        (
            {"ranker.prior": False, "ranker.cross_encoder": False},
            "config: a ranker needs ranker.prior, ranker.cross_encoder or both",
        ),
    ],
)
def test_options_that_do_not_go_together_say_what_to_change(changes: dict[str, object], told: str) -> None:
    with pytest.raises(RankstillError) as caught:
        make_config(MINIMAL, changes)
    message = str(caught.value)
    assert message.startswith(told)
    assert "\n" not in message


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"ranker.cross_encoder": False, "ranker.epochs": 2}, "ranker.epochs"),
        ({"retriever.blend": 0.5, "retriever.holdout": 0.3}, "retriever.holdout"),
        ({"multi_vector.epochs": 0, "multi_vector.learning_rate": 1e-3}, "multi_vector.learning_rate"),
        ({"multi_vector.make": False, "multi_vector.bits": 8}, "multi_vector.bits"),
        ({"labels.ranked_by": "gold", "ranker.epochs": 2}, "ranker.epochs"),
        ({"labels.ranked_by": "first-choice", "multi_vector.bits": 8}, "multi_vector.bits"),
        ({"labels.ranked_by": "llm", "labels.unranked": 5}, "labels.unranked"),
        ({"retriever.loss": "margin-mse", "retriever.in_batch": False}, "retriever.in_batch"),
        ({"white_box.passages": 3}, "white_box.passages"),
        ({"engine.workers": 2}, "engine.workers"),
    ],
)
def test_an_option_that_does_nothing_is_refused_where_it_is_written(changes: dict[str, object], told: str) -> None:
    config = make_config(MINIMAL, changes)
    with pytest.raises(RankstillError, match=rf"^flags: {told} does nothing here: \S") as caught:
        refuse_unused(config, "flags")
    assert "\n" not in str(caught.value)
    assert "; " not in str(caught.value)  # and nothing else is


def test_no_epochs_of_what_is_not_made_contradict_nothing() -> None:
    assert unused_options(make_config(MINIMAL, {"multi_vector.make": False, "multi_vector.epochs": 0})) == {}
    assert unused_options(demo_config({"multi_vector.make": False})) == {}


def test_of_a_config_that_was_written_whole_only_what_is_set_now_is_refused() -> None:
    config = make_config(MINIMAL, {"ranker.cross_encoder": False, "ranker.epochs": 2, "engine.workers": 2})
    refuse_unused(config, "flags", ["ranker.cross_encoder"])
    with pytest.raises(RankstillError, match=r"^flags: ranker\.epochs does nothing here: [^;]*$"):
        refuse_unused(config, "flags", ["ranker.epochs"])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"preset": "paper"},
        {"preset": "paper", "retriever.learning_rate": 1e-5},
        {"retriever.learning_rate": 1e-5},
        {"ranker.cross_encoder": False},
        {"labels.ranked_by": "pdist", "white_box.passages": 3},
        {"engine.kind": "ray", "engine.workers": 2},
    ],
)
def test_options_that_do_something_stand(changes: dict[str, object]) -> None:
    config = make_config(MINIMAL, changes)
    assert unused_options(config) == {}
    refuse_unused(config, "flags")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"dataset: [unclosed", "not readable as YAML"),
        (b"dataset: \xff\xfe", "not readable as YAML"),
        (b"- a list", "a YAML mapping"),
        (b"", "a YAML mapping"),
    ],
)
def test_a_broken_file_is_named_in_one_line(content: bytes, told: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    with pytest.raises(RankstillError, match=told) as caught:
        read_config(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_points_to_init(tmp_path: Path) -> None:
    with pytest.raises(RankstillError, match="rankstill init"):
        read_config(tmp_path / "none.yaml")


def test_a_folder_in_place_of_the_file_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(RankstillError, match="config"):
        read_config(tmp_path)


def test_the_papers_plain_chain_is_a_config_away() -> None:
    config = make_config(
        MINIMAL,
        {"ranker.prior": False, "retriever.in_batch": False},
    )
    assert config.ranker.loss == "listmle"
    assert config.retriever.blend is None


def test_the_papers_plain_chain_is_one_value_away_and_what_one_sets_stands() -> None:
    paper = make_config({"dataset": {"source": "x"}, "preset": "paper", "labels": {"unranked": 10}}, {"seed": 3})
    assert (paper.ranker.prior, paper.ranker.cross_encoder) == (False, True)
    assert (paper.labels.ranked_by, paper.labels.unranked, paper.retriever.in_batch) == ("ranker", 10, True)
