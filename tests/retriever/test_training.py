"""Labels -> retriever: training by KL divergence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from rankstill.config import RetrieverConfig
from rankstill.errors import DataError, ModelError
from rankstill.labels import LabelledQuery, UnlabelledQuery, label
from rankstill.losses.kl import kl_to_ranker
from rankstill.ranker import Ranker
from rankstill.ranker.prior import Prior
from rankstill.retrieval import FEATURES, FirstStage
from rankstill.retriever import USUAL_TEMPERATURE, TrainingData, ValidationList, load_retriever, train_retriever

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from rankstill.data import Corpus, Dataset

pytestmark = pytest.mark.usefixtures("full_precision")


@pytest.fixture(scope="session")
def toy_labels(
    toy_dataset: Dataset, toy_first_stage: FirstStage, tmp_path_factory: pytest.TempPathFactory
) -> list[LabelledQuery]:
    """BM25's opinion of ten passages for each training query, and for the titles of forty passages."""
    corpus, nothing = toy_dataset.corpus, np.empty(0, dtype=np.int64)
    asked = toy_dataset.texts_of(toy_dataset.train)
    found = toy_first_stage.search(asked, 10)
    queries = [
        UnlabelledQuery(query_id, text, "teacher", nothing, candidates.positions)
        for query_id, text, candidates in zip(toy_dataset.train, asked, found, strict=True)
    ]
    titles = corpus.titles[:40]
    queries += [
        UnlabelledQuery(f"extra-{row}", title, "unranked", nothing, candidates.positions)
        for row, (title, candidates) in enumerate(zip(titles, toy_first_stage.search(titles, 10), strict=True))
    ]
    ranker = Ranker(Prior(FEATURES, (0.0, 20.0)), None)
    return list(label(queries, toy_first_stage, ranker, tmp_path_factory.mktemp("labels"), ranked_by="ranker"))


@pytest.fixture
def quick(tiny_model_folder: Path) -> RetrieverConfig:
    return RetrieverConfig(
        model=str(tiny_model_folder),
        epochs=4,
        learning_rate=3e-3,
        lists_per_step=4,
        passages_per_query=6,
        student_temperature=0.05,
    )


def divergence(model: SentenceTransformer, labels: list[LabelledQuery], corpus: Corpus) -> float:
    """The mean KL divergence over each query's list."""
    total = 0.0
    for query in labels:
        passages = model.encode_document(corpus.texts(query.positions), convert_to_tensor=True)
        cosines = model.encode_query([query.text], convert_to_tensor=True) @ passages.T
        total += kl_to_ranker(cosines.cpu(), torch.from_numpy(query.scores)[None], 1.0, 0.05).item()
    return total / len(labels)


def weights(model: SentenceTransformer) -> torch.Tensor:
    return torch.cat([weight.flatten().cpu() for weight in model.state_dict().values() if weight.is_floating_point()])


def test_training_brings_the_retriever_nearer_to_the_ranker(
    toy_labels: list[LabelledQuery],
    toy_dataset: Dataset,
    tiny_model: SentenceTransformer,
    quick: RetrieverConfig,
    tmp_path: Path,
) -> None:
    trained = train_retriever(TrainingData(toy_labels, toy_dataset.corpus, quick, 0), tmp_path, "cpu")
    asked = [query for query in toy_labels if query.source == "teacher"]
    before = divergence(tiny_model, asked, toy_dataset.corpus)
    assert divergence(trained, asked, toy_dataset.corpus) < 0.8 * before


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    toy_labels: list[LabelledQuery], toy_dataset: Dataset, quick: RetrieverConfig, tmp_path: Path
) -> None:
    config = quick.model_copy(update={"epochs": 1})
    first, again, other = (
        weights(train_retriever(TrainingData(toy_labels, toy_dataset.corpus, config, seed), tmp_path, "cpu"))
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.allclose(first, other, atol=1e-4)


def test_unlabelled_queries_teach_too(
    toy_labels: list[LabelledQuery], toy_dataset: Dataset, quick: RetrieverConfig, tmp_path: Path
) -> None:
    config = quick.model_copy(update={"epochs": 1})
    ranked = [query for query in toy_labels if query.source == "teacher"]
    alone, beside = (
        weights(train_retriever(TrainingData(labels, toy_dataset.corpus, config, 0), tmp_path, "cpu"))
        for labels in (ranked, toy_labels)
    )
    assert not torch.allclose(alone, beside, atol=1e-4)


def test_queries_with_fewer_than_two_passages_teach_nothing(
    toy_dataset: Dataset, quick: RetrieverConfig, tmp_path: Path
) -> None:
    one = LabelledQuery("q", "magma", "teacher", np.array([3]), np.float32([1.0]))
    none = LabelledQuery("r", "lava", "unranked", np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32))
    with pytest.raises(DataError, match="no query has two labelled passages"):
        train_retriever(TrainingData([one, none], toy_dataset.corpus, quick, 0), tmp_path)


def test_what_is_saved_is_a_plain_sentence_transformers_folder(
    toy_labels: list[LabelledQuery], toy_dataset: Dataset, quick: RetrieverConfig, tmp_path: Path
) -> None:
    from sentence_transformers import SentenceTransformer

    changes = {"epochs": 1, "training_length": 16, "query_prompt": "tulip: ", "passage_prompt": ""}
    config = quick.model_copy(update=changes)
    trained = train_retriever(TrainingData(toy_labels, toy_dataset.corpus, config, 0), tmp_path, "cpu")
    trained.save_pretrained(str(tmp_path / "saved"), create_model_card=False)
    loaded = SentenceTransformer(str(tmp_path / "saved"), device="cpu")
    texts = list(toy_dataset.corpus.texts())
    np.testing.assert_array_equal(loaded.encode_query(texts), trained.encode_query(texts))
    assert loaded.prompts["query"] == "tulip: "
    assert loaded.max_seq_length == 128  # shortened for training only
    assert not trained.training


def test_a_training_of_a_few_steps_has_a_curve(
    toy_labels: list[LabelledQuery], toy_dataset: Dataset, quick: RetrieverConfig, tmp_path: Path
) -> None:
    config = quick.model_copy(update={"epochs": 1, "lists_per_step": 8})
    train_retriever(TrainingData(toy_labels[:24], toy_dataset.corpus, config, 0), tmp_path, "cpu")
    curve = json.loads((tmp_path / "retriever-losses.json").read_text())
    assert [entry["step"] for entry in curve] == [1, 2, 3]


def test_the_training_curve_names_its_loss(
    toy_labels: list[LabelledQuery], toy_dataset: Dataset, quick: RetrieverConfig, tmp_path: Path
) -> None:
    train_retriever(TrainingData(toy_labels[:24], toy_dataset.corpus, quick, 0), tmp_path, "cpu")
    curve = json.loads((tmp_path / "retriever-losses.json").read_text())
    assert [entry["step"] for entry in curve] == [*range(1, 25)]
    for entry in curve:
        assert entry["loss"] == pytest.approx(entry["kl"], rel=1e-2)


def test_training_prints_nothing_of_the_librarys(
    toy_labels: list[LabelledQuery],
    toy_dataset: Dataset,
    quick: RetrieverConfig,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    train_retriever(TrainingData(toy_labels, toy_dataset.corpus, quick, 0), tmp_path, "cpu")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "widget examples" not in printed.err


def test_the_saved_weights_are_the_configured_blend(
    toy_labels: list[LabelledQuery],
    toy_dataset: Dataset,
    tiny_model: SentenceTransformer,
    quick: RetrieverConfig,
    tmp_path: Path,
) -> None:
    old = weights(tiny_model)
    new, mixed = (
        weights(
            train_retriever(
                TrainingData(toy_labels, toy_dataset.corpus, quick.model_copy(update={"epochs": 1, "blend": share}), 0),
                tmp_path,
                "cpu",
            )
        )
        for share in (1.0, 0.25)
    )
    assert not torch.allclose(new, old, atol=1e-4)
    torch.testing.assert_close(mixed, 0.25 * new + 0.75 * old)


@pytest.mark.parametrize(("judging", "usual"), [(3, True), (24, False)])
def test_the_students_temperature_is_fitted_where_twenty_rankings_judge(
    judging: int,
    usual: bool,
    toy_labels: list[LabelledQuery],
    toy_dataset: Dataset,
    quick: RetrieverConfig,
    tmp_path: Path,
) -> None:
    rankings = [
        ValidationList(query.text, list(toy_dataset.corpus.texts(query.positions[np.argsort(-query.scores)])), 10)
        for query in toy_labels[:judging]
    ]
    config = quick.model_copy(update={"epochs": 1, "student_temperature": None})
    train_retriever(TrainingData(toy_labels[:24], toy_dataset.corpus, config, 0, validation=rankings), tmp_path, "cpu")
    blend = json.loads((tmp_path / "retriever-blend.json").read_text())
    assert blend["lists"] == judging
    assert (blend["temperature"] == USUAL_TEMPERATURE) == usual


def test_the_new_retriever_reads_as_many_tokens_as_configured(
    toy_labels: list[LabelledQuery], toy_dataset: Dataset, quick: RetrieverConfig, tmp_path: Path
) -> None:
    config = quick.model_copy(update={"epochs": 1, "max_length": 100})
    assert train_retriever(TrainingData(toy_labels, toy_dataset.corpus, config, 0), tmp_path).max_seq_length == 100
    too_long = quick.model_copy(update={"max_length": 129})
    with pytest.raises(ModelError, match="reads at most 128 tokens"):
        train_retriever(TrainingData(toy_labels, toy_dataset.corpus, too_long, 0), tmp_path)


def test_configured_prompts_stand_over_the_models_own_and_null_leaves_these(tiny_model_folder: Path) -> None:
    name = str(tiny_model_folder)
    prompted = load_retriever(RetrieverConfig(model=name, query_prompt="ask: ", passage_prompt="read: "), "cpu")
    assert (prompted.prompts["query"], prompted.prompts["document"]) == ("ask: ", "read: ")
    plain = load_retriever(RetrieverConfig(model=name), "cpu")
    assert (plain.prompts["query"], plain.prompts["document"]) == ("", "")


def test_a_retriever_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no such folder"):
        load_retriever(RetrieverConfig(model=str(tmp_path / "nowhere")), "cpu")
