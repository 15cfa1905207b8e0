"""A causal language model small enough to build on the spot."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rankstill.config import Config, make_config

if TYPE_CHECKING:
    from rankstill.labels.local_lm import LocalLM


@pytest.fixture(scope="session")
def causal_lm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved Llama of 2 layers with grouped heads and seeded weights; its tokens are characters."""
    import torch
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("causal-lm")
    letters = [chr(code) for code in range(32, 127)]
    vocabulary = {token: number for number, token in enumerate(["<s>", "</s>", "<unk>", "\n", *letters])}
    characters = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    characters.pre_tokenizer = pre_tokenizers.Split(Regex("[\\s\\S]"), "isolated")
    PreTrainedTokenizerFast(
        tokenizer_object=characters, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    torch.manual_seed(3)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(vocabulary),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=256,
            initializer_range=0.3,
        )
    )
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def lm(causal_lm_folder: Path, full_precision: None) -> LocalLM:
    """The tiny language model, as one would load it."""
    from rankstill.labels.local_lm import load_local_lm

    return load_local_lm(str(causal_lm_folder), "cpu", passage_tokens=40)


@pytest.fixture
def lm_with_learned_positions(causal_lm_folder: Path, tmp_path: Path, full_precision: None) -> LocalLM:
    """A GPT-2 with the same tokenizer: where a token stands is absolute, so padding must not shift it."""
    import torch
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    from rankstill.labels.local_lm import load_local_lm

    tokenizer = AutoTokenizer.from_pretrained(causal_lm_folder)
    tokenizer.save_pretrained(tmp_path)
    torch.manual_seed(4)
    GPT2LMHeadModel(
        GPT2Config(vocab_size=len(tokenizer), n_positions=256, n_embd=32, n_layer=2, n_head=4, initializer_range=0.3)
    ).save_pretrained(tmp_path)
    return load_local_lm(str(tmp_path), "cpu", passage_tokens=40)


@pytest.fixture(scope="session")
def answered_folder(toy_dataset_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy dataset, each query with the answer that its passage gives, and without any ranking. Read-only."""
    folder = shutil.copytree(toy_dataset_folder, tmp_path_factory.mktemp("answered") / "toy")
    (folder / "rankings.jsonl").unlink()
    passages = [json.loads(line) for line in (folder / "corpus.jsonl").read_text().splitlines()]
    answers = {each["_id"]: each["title"].split()[1] for each in passages}
    queries = [json.loads(line) for line in (folder / "queries.jsonl").read_text().splitlines()]
    (folder / "queries.jsonl").write_text(
        "".join(
            json.dumps({**query, "answers": [answers[query["_id"].removeprefix("q-")]]}) + "\n" for query in queries
        )
    )
    return folder


@pytest.fixture(scope="session")
def white_box_config(answered_folder: Path, tiny_model_folder: Path, causal_lm_folder: Path) -> Callable[..., Config]:
    """A chain of seconds with a tiny language model: `white_box_config("pdist", {"white_box.passages": 4})`."""

    def make(method: str, changes: dict[str, Any] | None = None) -> Config:
        small = {
            "candidates.k": 5,
            "candidates.n": 6,
            "labels.ranked_by": method,
            "white_box.model": str(causal_lm_folder),
            "white_box.passages": 3,
            "white_box.passage_tokens": 30,
            "ranker.model": str(tiny_model_folder),
            "retriever.model": str(tiny_model_folder),
            "retriever.training_length": 32,
            "retriever.learning_rate": 1e-3,
            "evaluation.resamples": 200,
            "device": "cpu",
        }
        return make_config(
            {"dataset": {"source": str(answered_folder)}, "preset": "paper"}, {**small, **(changes or {})}
        )

    return make
