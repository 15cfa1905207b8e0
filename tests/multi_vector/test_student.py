"""The multi-vector retriever, trained on the ranker's labels."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer

import rankstill
from rankstill.config import Config, RetrieverConfig
from rankstill.data import load_dataset
from rankstill.evaluation.runs import read_run
from rankstill.labels import LabelledQuery
from rankstill.losses.kl import UNLABELLED
from rankstill.models import load_multi_vector
from rankstill.multi_vector import TokenIndex, multi_vector_encoder
from rankstill.multi_vector.model import every_token
from rankstill.multi_vector.student import MULTI_VECTOR, mean_maxsim
from rankstill.retrieval.hybrid import Hybrid, HybridSearcher
from rankstill.retriever import TrainingData, ValidationList
from rankstill.retriever.loss import DistillationLoss
from rankstill.retriever.training import train_student

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

    from rankstill.data import Dataset
    from rankstill.retrieval import FirstStage

pytestmark = pytest.mark.usefixtures("full_precision")

QUERIES = ["magma of the volcano", "yeast"]
PASSAGES = ["lava of the crater", "flour and yeast " * 9, "tide"]


@pytest.fixture
def model(tiny_model: SentenceTransformer) -> MultiVectorEncoder:
    weights = np.linspace(0.5, 2.0, len(tiny_model.tokenizer), dtype=np.float32)
    return multi_vector_encoder(tiny_model, weights, 0.5, pooling=2.0)


def test_a_query_and_two_passages_worked_by_hand() -> None:
    query = torch.tensor([[[3.0, 0.0], [0.0, 1.0], [0.0, 0.0]]])  # weights 3 and 1, and padding
    passages = torch.tensor([[[1.0, 0.0], [0.6, 0.8]], [[-1.0, 0.0], [0.0, 0.0]]])
    # The second passage has one token; its padding must not stand in for a token of cosine 0.
    assert mean_maxsim(query, passages).tolist() == [pytest.approx([(3 * 1 + 0.8) / 4, (3 * -1 + 0) / 4])]


@given(st.integers(0, 10_000))
def test_it_is_the_library_s_maxsim_over_the_sum_of_the_weights(seed: int) -> None:
    from sentence_transformers.util import maxsim

    draw = np.random.default_rng(seed)
    lengths = [draw.integers(1, 6, size=count) for count in (3, 4)]
    texts = [[draw.normal(size=(n, 8)).astype(np.float32) for n in each] for each in lengths]
    texts[1] = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in texts[1]]
    padded = [
        torch.nn.utils.rnn.pad_sequence([torch.from_numpy(each) for each in kind], batch_first=True) for kind in texts
    ]
    weights = torch.tensor([[float(np.linalg.norm(each, axis=1).sum())] for each in texts[0]])
    expected = maxsim(*([torch.from_numpy(each) for each in kind] for kind in texts)) / weights
    torch.testing.assert_close(mean_maxsim(*padded), expected, rtol=1e-4, atol=1e-5)


def loss_of(model: MultiVectorEncoder, **changes: Any) -> DistillationLoss:
    options = {"teacher_temperature": 1.0, "student_temperature": 0.05, "in_batch": True, "micro_batch": 2}
    return DistillationLoss(model, MULTI_VECTOR, **{**options, **changes})


def test_the_loss_over_a_query_s_own_passages_is_the_library_s(model: MultiVectorEncoder) -> None:
    from sentence_transformers.multi_vector_encoder.losses import MultiVectorDistillKLDivLoss

    labels = torch.tensor([[2.0, 0.5, 1.0], [0.1, 3.0, -1.0]])
    with every_token(model), torch.no_grad():
        texts = [model.preprocess(each, task=task) for each, task in ((QUERIES, "query"), (PASSAGES, "document"))]
        ours = loss_of(model)(texts, labels)["kl"]
        weight = model.encode_query(QUERIES, convert_to_numpy=True)
        asked = [model.preprocess(QUERIES, task="query")]
        columns = [model.preprocess([passage] * len(QUERIES), task="document") for passage in PASSAGES]
        divergences = []
        for row, vectors in enumerate(weight):
            temperature = 0.05 * float(np.linalg.norm(vectors, axis=1).sum())
            library = MultiVectorDistillKLDivLoss(model, teacher_temperature=1.0, student_temperature=temperature)
            one = [
                {name: each[row : row + 1] for name, each in column.items() if hasattr(each, "shape")}
                for column in asked + columns
            ]
            divergences.append(float(library(one, labels[row : row + 1])) / temperature**2)
    assert ours.item() == pytest.approx(np.mean(divergences), rel=1e-3)


@pytest.mark.parametrize("in_batch", [True, False])
def test_every_weight_of_the_encoder_gets_a_finite_gradient(model: MultiVectorEncoder, in_batch: bool) -> None:
    labels = torch.tensor([[2.0, UNLABELLED, 1.0], [UNLABELLED, 3.0, -1.0]])
    with every_token(model):
        texts = [model.preprocess(each, task=task) for each, task in ((QUERIES, "query"), (PASSAGES, "document"))]
        loss_of(model, in_batch=in_batch)(texts, labels)["kl"].backward()
    gradients = [weight.grad for name, weight in model[0].named_parameters() if "pooler" not in name]
    assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in gradients)
    assert sum(float(gradient.abs().sum()) for gradient in gradients) > 0


@pytest.fixture
def data(toy_dataset: Dataset, toy_first_stage: FirstStage) -> TrainingData:
    """BM25's opinion of eight passages for each training query."""
    asked = toy_dataset.texts_of(toy_dataset.train)
    labels = []
    for query_id, text, found in zip(toy_dataset.train, asked, toy_first_stage.search(asked, 8), strict=True):
        scores = 10 * found.features[:, 1]
        order = np.argsort(-scores, kind="stable")
        labels.append(LabelledQuery(query_id, text, "teacher", found.positions[order], scores[order]))
    config = RetrieverConfig(
        epochs=4,
        learning_rate=1e-3,
        lists_per_step=4,
        passages_per_query=6,
        training_length=32,
        student_temperature=0.05,
    )
    return TrainingData(labels, toy_dataset.corpus, config, seed=0)


def distance(model: MultiVectorEncoder, data: TrainingData) -> float:
    """The mean KL divergence from the labels' distribution to the student's, over each query's own passages."""
    total = 0.0
    for query in data.labels:
        listed = ValidationList(query.text, list(data.corpus.texts(query.positions)), len(query.positions))
        (own,) = MULTI_VECTOR.score(model, [listed])
        student = torch.log_softmax(torch.from_numpy(own) / 0.05, dim=0)
        teacher = torch.softmax(torch.tensor(query.scores), dim=0)
        total += float(torch.nn.functional.kl_div(student, teacher, reduction="sum"))
    return total / len(data.labels)


def test_training_brings_it_nearer_to_the_ranker_and_one_seed_gives_one_model(
    model: MultiVectorEncoder, data: TrainingData, tmp_path: Path
) -> None:
    import copy

    again, before = copy.deepcopy(model), distance(model, data)
    for each in (model, again):
        with every_token(each):
            train_student(each, MULTI_VECTOR, data, tmp_path, "multi-vector")
    assert distance(model, data) < 0.8 * before
    for one, other in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
    curve = json.loads((tmp_path / "multi-vector-losses.json").read_text())
    assert curve[-1]["kl"] < curve[0]["kl"]


def test_passages_are_pooled_again_after_training(model: MultiVectorEncoder) -> None:
    (whole,) = model.encode_document([PASSAGES[1]])
    with every_token(model):
        (every,) = model.encode_document([PASSAGES[1]])
    (again,) = model.encode_document([PASSAGES[1]])
    assert len(every) >= 2 * len(whole) - 1
    assert len(again) == len(whole)


ROWS = ("distilled multi-vector", "distilled multi-vector hybrid")


@pytest.mark.parametrize("dimensions", [None, 16])
def test_a_chain_trains_it_measures_it_and_saves_it_for_plain_sentence_transformers(
    toy_config: Callable[..., Config], tmp_path: Path, dimensions: int | None
) -> None:
    changes = {"multi_vector.dimensions": dimensions, "multi_vector.bits": 8}  # 2 bits say little of 16 numbers
    config = toy_config({**changes, "multi_vector.epochs": 1, "multi_vector.learning_rate": 1e-3})
    outcome = rankstill.distill(config, tmp_path / "w")
    assert outcome.table is not None
    assert {*ROWS} <= {system.name for system in outcome.table.systems}
    assert json.loads((tmp_path / "w" / "multi-vector-losses.json").read_text())
    models = [
        load_multi_vector(str(tmp_path / "w" / name), "cpu") for name in ("multi-vector", "multi-vector-distilled")
    ]
    vectors = [model.encode_document([PASSAGES[0]])[0] for model in models]
    assert np.abs(np.asarray(vectors[0]) - np.asarray(vectors[1])).max() > 1e-3
    indexes = [TokenIndex.load(tmp_path / "w" / f"multi-vector{name}-index") for name in ("", "-distilled")]
    sizes = {each.codec.dimensions for each in indexes} | {each.shape[1] for each in vectors}
    assert sizes == {dimensions or 32}
    folders = {"": config.retriever.model, "-distilled": str(tmp_path / "w" / "retriever")}
    for (after, retriever), late in zip(folders.items(), models, strict=True):
        check_hybrid(config, tmp_path / "w", after, SentenceTransformer(retriever), late)
    # What the ranker knows of late interaction stays that of the encoder as it was.
    again = rankstill.distill(toy_config(changes), tmp_path / "w")
    assert again.table is not None
    assert not {*ROWS} & {system.name for system in again.table.systems}


def check_hybrid(
    config: Config, workspace: Path, after: str, retriever: SentenceTransformer, late: MultiVectorEncoder
) -> None:
    """The best passages of the run are those that a search of every passage by the same three scores finds."""
    dataset = load_dataset(config.dataset)
    hybrid = Hybrid.load(workspace / f"hybrid-multi-vector{after}.json")
    searcher = HybridSearcher(hybrid, retriever, list(dataset.corpus.texts()), late)
    run = read_run(workspace / "runs" / f"{after[1:]}{'-' if after else ''}multi-vector-hybrid.trec")
    for query_id in dataset.test:
        best, *_ = searcher.search(dataset.queries[query_id].text)
        highest = max(run[query_id].values())
        assert best.score == pytest.approx(highest, rel=0.02)
        assert run[query_id][dataset.corpus.ids[best.position]] == pytest.approx(highest, rel=0.02)


def test_where_training_does_harm_the_rankings_that_judge_undo_it(
    toy_config: Callable[..., Config], tmp_path: Path
) -> None:
    changes = {"multi_vector.epochs": 1, "multi_vector.learning_rate": 0.5, "retriever.blend": None}
    outcome = rankstill.distill(toy_config(changes), tmp_path / "w")
    assert outcome.table is not None
    assert any(note.startswith("multi-vector: training left the encoder as it was") for note in outcome.notes)
    values = [outcome.table.system(name).values for name in ("multi-vector", "distilled multi-vector")]
    assert values[0] == values[1]
    folders = [tmp_path / "w" / f"multi-vector{after}-index" for after in ("", "-distilled")]
    assert (folders[0] / "codes").read_bytes() == (folders[1] / "codes").read_bytes()
