"""Which loss trains the retriever follows from the configuration."""

from __future__ import annotations

from typing import Any

import pytest

from rankstill.config import Config, make_config
from rankstill.losses.choice import query_loss
from rankstill.losses.emdr2 import emdr2_nll
from rankstill.losses.kl import kl_to_ranker
from rankstill.losses.margin_mse import margin_mse
from rankstill.losses.replug import replug_kl


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
