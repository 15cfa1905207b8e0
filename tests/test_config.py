"""Every option once: YAML in and out, and mistakes that name the option."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from rankstill.config import Config, commented_config, make_config, read_config, write_config
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


def test_every_option_says_what_it_is() -> None:
    for name, section in sections().items():
        assert section.__doc__, name
        for option, about in section.model_fields.items():
            assert about.description, f"{name}.{option}"


def test_changes_by_dotted_path_stand_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("dataset: {source: there, leaks: keep}\nranker: {epochs: 3}\nseed: 1\n")
    config = read_config(path, {"ranker.prior": False, "labels.pseudo_queries": 0, "dataset.source": "here", "seed": 2})
    assert (config.dataset.source, config.dataset.leaks) == ("here", "keep")
    assert (config.ranker.prior, config.ranker.epochs, config.labels.pseudo_queries) == (False, 3, 0)
    assert config.seed == 2


def test_an_empty_section_means_its_defaults(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("dataset: {source: there}\nranker:\n")
    assert read_config(path) == make_config({"dataset": {"source": "there"}})
    assert read_config(path, {"ranker.epochs": 2}).ranker.epochs == 2


def test_a_change_inside_what_is_no_section_does_not_hide_the_mistake() -> None:
    with pytest.raises(RankstillError, match="ranker: a section"):
        make_config({**MINIMAL, "ranker": 3}, {"ranker.epochs": 2})


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
            {"ranker.prior": False, "labels.pseudo_by": "prior"},
            "config: without a prior, set labels.pseudo_by to ranker",
        ),
        (
            {"ranker.prior": False, "ranker.cross_encoder": False, "labels.pseudo_queries": 0},
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
        {"ranker.prior": False, "labels.ranked_by": "ranker", "labels.pseudo_queries": 0, "retriever.in_batch": False},
    )
    assert config.ranker.loss == "listmle"
    assert (config.retriever.blend, config.retriever.contrastive_weight) == (1.0, 0.0)


def test_the_papers_plain_chain_is_one_value_away_and_what_one_sets_stands() -> None:
    paper = make_config({"dataset": {"source": "x"}, "preset": "paper", "labels": {"pseudo_queries": 10}}, {"seed": 3})
    assert (paper.ranker.prior, paper.ranker.cross_encoder) == (False, True)
    assert (paper.labels.ranked_by, paper.labels.pseudo_by) == ("ranker", "ranker")
    assert paper.labels.pseudo_queries == 10
    assert (paper.retriever.epochs, paper.retriever.in_batch, paper.head.absent) == (1, False, True)
