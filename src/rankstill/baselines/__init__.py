"""Baselines: what the method is compared with, as labels for the same training or as losses in its place."""

from rankstill.baselines.contrastive import first_choice_labels, gold_labels, info_nce
from rankstill.baselines.likelihood import SCORES_OF, SIGNAL_OF, Method, Signal, emdr2_nll, replug_kl, target
from rankstill.baselines.local_lm import LocalLM, load_local_lm
from rankstill.baselines.margin_mse import margin_mse
from rankstill.baselines.white_box import label_by_lm, read_signal

__all__ = [
    "SCORES_OF",
    "SIGNAL_OF",
    "LocalLM",
    "Method",
    "Signal",
    "emdr2_nll",
    "first_choice_labels",
    "gold_labels",
    "info_nce",
    "label_by_lm",
    "load_local_lm",
    "margin_mse",
    "read_signal",
    "replug_kl",
    "target",
]
