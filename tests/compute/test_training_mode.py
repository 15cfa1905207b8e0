"""A model as it is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from rankstill.compute.training_mode import attention_for_training, without_dropout

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def test_without_dropout_a_model_in_training_computes_what_it_does_in_use(tiny_model: SentenceTransformer) -> None:
    tokens = tiny_model.preprocess(["magma and lava", "yeast"])
    in_use = tiny_model.eval()(dict(tokens))["sentence_embedding"]
    tiny_model.train()
    assert not torch.allclose(tiny_model(dict(tokens))["sentence_embedding"], in_use, atol=1e-4)
    without_dropout(tiny_model)
    torch.testing.assert_close(tiny_model(dict(tokens))["sentence_embedding"], in_use)


def test_training_on_a_cpu_uses_plain_attention_and_afterwards_the_models_own(tiny_model: SentenceTransformer) -> None:
    config = tiny_model[0].auto_model.config
    own = config._attn_implementation
    before = tiny_model.encode(["magma of the volcano", "lava"])
    with attention_for_training(tiny_model):
        assert config._attn_implementation == "eager"
        np.testing.assert_allclose(tiny_model.encode(["magma of the volcano", "lava"]), before, atol=1e-2)
    assert config._attn_implementation == own != "eager"
