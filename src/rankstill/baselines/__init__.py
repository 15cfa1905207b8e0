"""Baselines: what the method is compared with, as labels for the same training or as losses in its place."""

from rankstill.baselines.choice import (
    check_white_box,
    label_without_ranker,
    query_loss,
    unneeded_steps,
    white_box_identity,
)
from rankstill.baselines.contrastive import first_choice_labels, gold_labels, info_nce
from rankstill.baselines.likelihood import SCORES_OF, emdr2_nll, replug_kl, target
from rankstill.baselines.local_lm import LocalLM, load_local_lm
from rankstill.baselines.margin_mse import margin_mse
from rankstill.baselines.white_box import label_by_lm, queries_to_read, read_signal

__all__ = [
    "SCORES_OF",
    "LocalLM",
    "check_white_box",
    "emdr2_nll",
    "first_choice_labels",
    "gold_labels",
    "info_nce",
    "label_by_lm",
    "label_without_ranker",
    "load_local_lm",
    "margin_mse",
    "queries_to_read",
    "query_loss",
    "read_signal",
    "replug_kl",
    "target",
    "unneeded_steps",
    "white_box_identity",
]
