"""Which loss trains the retriever."""

from __future__ import annotations

from collections.abc import Mapping

from rankstill.config import Config
from rankstill.losses.emdr2 import emdr2_nll
from rankstill.losses.kl import Divergence, kl_to_ranker
from rankstill.losses.margin_mse import margin_mse
from rankstill.losses.replug import replug_kl


def query_loss(config: Config) -> Divergence:
    """What the encoder learns by: the configured loss, or that of the white-box method which has one of its own."""
    own: Mapping[str, Divergence] = {"emdr2": emdr2_nll, "replug-lsr": replug_kl}
    if config.retriever.loss == "margin-mse":
        return margin_mse
    return own.get(config.labels.ranked_by, kl_to_ranker)
