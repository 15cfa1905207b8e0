"""A baseline is a value of the configuration; what it needs follows from it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from rankstill.baselines import emdr2_nll, margin_mse, query_loss, replug_kl, unneeded_steps
from rankstill.config import Config, make_config
from rankstill.errors import RankstillError
from rankstill.retriever.loss import kl_to_ranker

if TYPE_CHECKING:
    from rankstill.datasets import Dataset


def config(**changes: Any) -> Config:
    """The plain chain's options, and changes with __ for the dot."""
    dotted = {name.replace("__", "."): value for name, value in changes.items()}
    return make_config({"dataset": {"source": "toy"}, "preset": "paper"}, dotted)


@pytest.mark.parametrize(
    ("changes", "loss"),
    [
        ({}, kl_to_ranker),
        ({"labels__ranked_by": "gold"}, kl_to_ranker),
        ({"labels__ranked_by": "pdist"}, kl_to_ranker),
        ({"labels__ranked_by": "loop"}, kl_to_ranker),
        ({"labels__ranked_by": "adist"}, kl_to_ranker),
        ({"labels__ranked_by": "emdr2"}, emdr2_nll),
        ({"labels__ranked_by": "replug-lsr"}, replug_kl),
        ({"retriever__loss": "margin-mse"}, margin_mse),
    ],
)
def test_the_loss_follows_from_what_is_configured(changes: dict[str, Any], loss: object) -> None:
    assert query_loss(config(**changes)) is loss


NO_LIST = {"rankings", "held_out", "multi_vector", "token_index", "ranker", "agreement"}


@pytest.mark.parametrize(
    ("ranked_by", "pseudo_queries", "unneeded"),
    [
        ("both", 0, set()),
        ("ranker", 0, set()),
        ("llm", 0, {"multi_vector", "token_index", "ranker"}),
        ("first-choice", 0, {"multi_vector", "token_index", "ranker"}),
        ("gold", 0, NO_LIST),
        ("gold", 9, set()),  # the ranker labels pseudo-queries
        ("pdist", 0, NO_LIST),
        ("adist", 0, NO_LIST),
    ],
)
def test_steps_that_a_baseline_does_not_need_are_not_run(
    ranked_by: str, pseudo_queries: int, unneeded: set[str], toy_dataset: Dataset
) -> None:
    head = 8 if pseudo_queries else 0  # nothing else learns from them
    made = config(labels__ranked_by=ranked_by, labels__pseudo_queries=pseudo_queries, head__width=head)
    assert unneeded_steps(made, toy_dataset) == unneeded | {"multi_vector_distilled"}


def test_unlabelled_queries_need_the_ranker_beside_the_llms_order(toy_dataset: Dataset) -> None:
    extra = replace(toy_dataset, extra=toy_dataset.train[:1])
    assert unneeded_steps(config(labels__ranked_by="llm"), extra) == {"multi_vector_distilled"}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"labels__ranked_by": "loop", "labels__pseudo_queries": 9, "head__width": 8},
            r"loop has no ranker to label pseudo-queries with; set labels\.pseudo_queries to 0",
        ),
        (
            {"labels__ranked_by": "pdist", "white_box__passages": 11},
            r"white_box\.passages: the first stage finds 10 candidates of a query; raise candidates\.n",
        ),
        ({"labels__ranked_by": "gold", "retriever__loss": "margin-mse"}, r"set labels\.ranked_by to ranker"),
        ({"labels__ranked_by": "emdr2", "retriever__loss": "margin-mse"}, r"set labels\.ranked_by to ranker"),
        (
            {"retriever__loss": "margin-mse", "head__width": 8},
            r"margin-mse trains the encoder, .* head\.width and head",
        ),
        ({"labels__ranked_by": "emdr2", "retriever__epochs": 0}, r"emdr2 trains the encoder, .* set retriever\.epochs"),
        ({"labels__ranked_by": "pdits"}, r"labels\.ranked_by"),
        ({"labels__pseudo_queries": 9}, r"pseudo-queries teach the head alone; .* set labels\.pseudo_queries to 0"),
    ],
)
def test_options_that_do_not_go_together_say_what_to_set(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(RankstillError, match=told) as caught:
        config(**changes)
    assert "\n" not in str(caught.value)
