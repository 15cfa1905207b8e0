"""Labels -> retriever: train the encoder by KL divergence to the labels' distribution."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankstill.compute.training_mode import attention_for_training, reading_at_most, without_dropout
from rankstill.data import Corpus
from rankstill.distributed.processes import check_first_step, with_averaged_gradients
from rankstill.errors import DataError, ModelError
from rankstill.labels.table import LabelledQuery
from rankstill.losses.kl import Divergence, kl_to_ranker
from rankstill.models import load_bi_encoder
from rankstill.reporting import NOWHERE, Reports
from rankstill.retriever.batches import BatchBuilder, BatchCollator
from rankstill.retriever.blending import choose_blend, mix, plackett_luce_fit
from rankstill.retriever.loss import DistillationLoss
from rankstill.retriever.student import BI_ENCODER, Student, ValidationList
from rankstill.training import ENOUGH_TO_FIT, progress_callback, run_training, set_seed, training_arguments

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from rankstill.config import RetrieverConfig


USUAL_TEMPERATURE = 0.1
"""The student's softmax temperature where neither the configuration nor the rankings choose another."""


@dataclass(frozen=True)
class TrainingData:
    """What a retriever is trained on: labels, validation lists, the loss and its options.

    Args:
        labels: the ranker's scores, of queries that the LLM ranked and of others.
        validation: Rankings that choose how much of the new weights is kept, unless the config says it; with none, all
            is kept.
    """

    labels: Sequence[LabelledQuery]
    corpus: Corpus
    config: RetrieverConfig
    seed: int
    divergence: Divergence = kl_to_ranker
    validation: Sequence[ValidationList] = ()


def load_retriever(config: RetrieverConfig, device: str | None) -> SentenceTransformer:
    """The retriever to improve, with the configured prompts.

    Raises:
        ModelError: there is no such model, or it cannot be reached or read.
    """
    prompts = {"query_prompt": config.query_prompt, "passage_prompt": config.passage_prompt}
    return load_bi_encoder(config.model, device, **prompts)


def train_retriever(
    data: TrainingData, folder: Path, device: str | None = None, reports: Reports = NOWHERE
) -> SentenceTransformer:
    """Distil labels into a bi-encoder (Li et al. 2024, stage 2), starting from the configured model.

    Args:
        folder: for the training curve, `retriever-losses.json`, and what chose the blend, `retriever-blend.json`.

    Raises:
        ModelError: the configured model cannot be loaded, or cannot read as many tokens as configured.
    """
    config = data.config
    set_seed(data.seed)
    model = load_retriever(config, device)
    own_length = model.max_seq_length
    _check_length(model, config)
    train_student(model, BI_ENCODER, data, folder, "retriever", reports)
    model.max_seq_length = config.max_length or own_length
    return model


def train_student(
    model: Any, student: Student, data: TrainingData, folder: Path, name: str, reports: Reports = NOWHERE
) -> None:
    """Train a retriever's encoder in place, and mix its new weights with the old ones.

    Args:
        folder: for the training curve, `<name>-losses.json`, and what chose the blend, `<name>-blend.json`.

    Raises:
        DataError: no query has two labelled passages, so there is nothing to learn; or too few have for one step of all
            processes.
    """
    config = data.config
    queries = [query for query in data.labels if len(query.positions) >= 2]
    if not queries:
        raise DataError("labels: no query has two labelled passages, so there is nothing to learn. Check the rankings.")
    set_seed(data.seed)
    scores = student.score(model.eval(), data.validation) if data.validation else []
    chosen, temperature = None, _temperature(scores, data)
    before = {name: weight.detach().clone() for name, weight in model.state_dict().items()}
    without_dropout(model)
    model.model_card_data.widget = ["none"]  # or the trainer would look for some, with progress of its own
    trainer = _trainer(model, student, queries, data, temperature, folder, name, reports)
    with reading_at_most(model, config.training_length), attention_for_training(model):
        curve = run_training(trainer, reports, name)
    if config.blend is not None:
        mix(model, before, model.state_dict(), config.blend)
    elif data.validation:
        chosen = choose_blend(model.eval(), student, before, data.validation, scores, temperature)
    (folder / f"{name}-losses.json").write_text(json.dumps(curve), encoding="utf-8")
    (folder / f"{name}-blend.json").write_text(json.dumps(chosen and asdict(chosen)), encoding="utf-8")
    model.eval()


def _temperature(scores: Sequence[NDArray[np.float32]], data: TrainingData) -> float:
    """The temperature of the student's softmax: the configured one, or the most likely one for the validation lists.

    Args:
        scores: the student's, of these lists' passages before training. Each [passages]
        data: see `train_student`.
    """
    if data.config.student_temperature or len(scores) < ENOUGH_TO_FIT:
        return data.config.student_temperature or USUAL_TEMPERATURE
    return plackett_luce_fit(scores, [each.known for each in data.validation])[1]


def _trainer(
    model: Any,
    student: Student,
    queries: Sequence[LabelledQuery],
    data: TrainingData,
    temperature: float,
    folder: Path,
    name: str,
    reports: Reports,
) -> Any:
    from datasets import Dataset as Rows

    config = data.config
    check_first_step(len(queries), config.lists_per_step, "retriever")
    builder = BatchBuilder(queries, config.passages_per_query, data.seed)
    trainer, arguments = student.trainer()
    return with_averaged_gradients(trainer)(
        model=model,
        args=training_arguments(
            arguments,
            folder / "trainer",
            str(model.device),
            epochs=config.epochs,
            batch=config.lists_per_step,
            rate=config.learning_rate,
            seed=data.seed,
            reports=reports.arguments(name),
        ),
        train_dataset=Rows.from_dict({"row": list(range(len(queries)))}),
        data_collator=BatchCollator(builder, data.corpus.text, model),
        loss=DistillationLoss(
            model,
            student,
            data.divergence,
            teacher_temperature=config.teacher_temperature,
            student_temperature=temperature,
            in_batch=config.in_batch,
        ),
        callbacks=[progress_callback(f"training the {name}")],
    )


def _check_length(model: SentenceTransformer, config: RetrieverConfig) -> None:
    if config.max_length is None:
        return
    most = getattr(model[0].auto_model.config, "max_position_embeddings", None)
    if most and config.max_length > most:
        raise ModelError(f"retriever.max_length: {config.model} reads at most {most} tokens. Set {most} or less.")
