"""The model card of a distilled retriever."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from rankstill.config import Config, make_config
from rankstill.multi_vector import Choice
from rankstill.outcome import Outcome
from rankstill.report.model_card import model_card, multi_vector_card

if TYPE_CHECKING:
    from rankstill.data import Dataset


def card(dataset: Dataset, notes: tuple[str, ...] = (), **sections: object) -> tuple[str, Config]:
    config = make_config({"dataset": {"source": "somewhere"}, "seed": 3, **sections})
    outcome = Outcome(Path("w"), Path("w/retriever"), Path("w/reranker"), table=None, notes=notes)
    return model_card(config, dataset, outcome), config


def test_the_metadata_block_is_what_model_hubs_read(toy_dataset: Dataset) -> None:
    text, config = card(toy_dataset)
    metadata = yaml.safe_load(text.split("---")[1])
    assert metadata["library_name"] == "sentence-transformers"
    assert metadata["base_model"] == config.retriever.model
    assert "rankstill" in metadata["tags"]


def test_the_settings_on_the_card_make_the_same_experiment_again(toy_dataset: Dataset) -> None:
    text, config = card(toy_dataset)
    settings = text.split("```yaml\n")[1].split("```")[0]
    assert make_config(yaml.safe_load(settings)) == config


def test_the_card_says_on_what_it_was_made_and_what_must_be_known(toy_dataset: Dataset) -> None:
    text, _ = card(toy_dataset, notes=("12 training queries leak",))
    assert "60 passages, 24 queries that could teach" in text
    assert "- 12 training queries leak" in text
    assert "Not measured" in text


def test_the_card_does_not_tell_where_the_llm_was_reached_nor_where_it_ran(toy_dataset: Dataset) -> None:
    asked = {
        "kind": "api",
        "model": "m",
        "endpoint": "https://llm.mine.example/v1",
        "api_key_env": "MINE",
        "ledger": "/l",
    }
    engine = {"kind": "ray", "address": "head.mine.example:6379", "store": "s3://bucket.mine.example/x"}
    text, _ = card(toy_dataset, teacher=asked, rag={"reader": asked}, engine=engine)
    assert "mine.example" not in text
    assert "MINE" not in text
    assert "/l\n" not in text


def test_what_the_card_hides_is_left_out_and_named_for_null_would_mean_another_endpoint(toy_dataset: Dataset) -> None:
    asked = {"kind": "api", "model": "m", "endpoint": "https://llm.mine.example/v1", "api_key_env": "MINE"}
    text, _ = card(toy_dataset, teacher=asked)
    settings = text.split("```yaml\n")[1].split("```")[0]
    assert settings.startswith("# not shown: teacher.endpoint, teacher.api_key_env; set yours\n")
    assert "endpoint" not in yaml.safe_load(settings)["teacher"]
    plain, _ = card(toy_dataset)
    assert "not shown" not in plain


def test_the_multi_vector_card_says_what_was_chosen_and_how_to_load_it(toy_dataset: Dataset) -> None:
    _, config = card(toy_dataset)
    outcome = Outcome(Path("w"), Path("w/retriever"), Path("w/reranker"), table=None, notes=("a note",))
    text = multi_vector_card(
        config, toy_dataset, outcome, Choice(context=1.0, idf_power=0.5, loss=3.0, lists=24), 5_930
    )
    metadata = yaml.safe_load(text.split("---")[1])
    assert "multi-vector" in metadata["tags"]
    assert "24 of an LLM's rankings chose two numbers" in text
    assert "takes in 1 times the mean" in text
    assert "to the power of\n0.5." in text
    assert "takes 5.9 kB a passage on disk (`multi_vector.bits: 2`)" in text
    assert "MultiVectorEncoder(" in text
    assert "- a note" in text
