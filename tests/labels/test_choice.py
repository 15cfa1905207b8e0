"""A baseline is a value of the configuration; what it needs follows from it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from rankstill.config import Config, make_config
from rankstill.errors import RankstillError
from rankstill.labels.choice import unneeded_steps

if TYPE_CHECKING:
    from rankstill.data import Dataset


def config(**changes: Any) -> Config:
    """The default options, and changes with __ for the dot."""
    dotted = {name.replace("__", "."): value for name, value in changes.items()}
    return make_config({"dataset": {"source": "toy"}}, dotted)


LATE = {"multi_vector", "token_index", "multi_vector_distilled"}
NO_LIST = {"rankings", "held_out", "hybrid", "ranker", "agreement", *LATE}


@pytest.mark.parametrize(
    ("ranked_by", "unneeded"),
    [
        ("both", set()),
        ("ranker", set()),
        ("llm", {"hybrid", "ranker", *LATE}),
        ("first-choice", {"hybrid", "ranker", *LATE}),
        ("gold", NO_LIST),
        ("pdist", NO_LIST),
        ("adist", NO_LIST),
    ],
)
def test_steps_that_a_baseline_does_not_need_are_not_run(
    ranked_by: str, unneeded: set[str], toy_dataset: Dataset
) -> None:
    assert unneeded_steps(config(labels__ranked_by=ranked_by), toy_dataset) == unneeded


def test_unlabelled_queries_need_the_ranker_beside_the_llms_order(toy_dataset: Dataset) -> None:
    extra = replace(toy_dataset, extra=toy_dataset.train[:1])
    assert unneeded_steps(config(labels__ranked_by="llm"), extra) == set()


def test_a_multi_vector_retriever_without_epochs_is_made_and_not_trained(toy_dataset: Dataset) -> None:
    assert unneeded_steps(config(multi_vector__epochs=0), toy_dataset) == {"multi_vector_distilled"}
    assert unneeded_steps(config(preset="paper"), toy_dataset) == LATE


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"labels__ranked_by": "pdist", "white_box__passages": 31},
            r"white_box\.passages: the first stage finds 30 candidates of a query; raise candidates\.n",
        ),
        ({"labels__ranked_by": "gold", "retriever__loss": "margin-mse"}, r"set labels\.ranked_by to ranker"),
        ({"labels__ranked_by": "emdr2", "retriever__loss": "margin-mse"}, r"set labels\.ranked_by to ranker"),
        ({"labels__ranked_by": "pdits"}, r"labels\.ranked_by"),
    ],
)
def test_options_that_do_not_go_together_say_what_to_set(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(RankstillError, match=told) as caught:
        config(**changes)
    assert "\n" not in str(caught.value)
