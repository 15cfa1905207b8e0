"""Labels -> retriever, first part: train the bi-encoder by KL divergence to the labels' distribution."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankstill.compute.training_mode import attention_for_training, without_dropout
from rankstill.datasets import Corpus
from rankstill.distributed.processes import averaging, check_first_step
from rankstill.errors import DataError, ModelError
from rankstill.labels.table import LabelledQuery
from rankstill.models import load_bi_encoder
from rankstill.reporting import NOWHERE, Reports
from rankstill.retriever.blending import JudgingList, choose_blend, mix
from rankstill.retriever.loss import DistillationLoss, Divergence, kl_to_ranker
from rankstill.training import progress_callback, run_training, set_seed, training_arguments

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from rankstill.config import RetrieverConfig


def load_retriever(config: RetrieverConfig, device: str | None) -> SentenceTransformer:
    """The retriever to improve, with the configured prompts.

    Raises:
        ModelError: there is no such model, or it cannot be reached or read.
    """
    prompts = {"query_prompt": config.query_prompt, "passage_prompt": config.passage_prompt}
    return load_bi_encoder(config.model, device, **prompts)


def train_retriever(
    labels: Sequence[LabelledQuery],
    corpus: Corpus,
    config: RetrieverConfig,
    folder: Path,
    *,
    seed: int,
    device: str | None = None,
    divergence: Divergence = kl_to_ranker,
    judges: Sequence[JudgingList] = (),
    reports: Reports = NOWHERE,
) -> SentenceTransformer:
    """Distil labels into a retriever (Li et al. 2024, stage 2), starting from the configured model.

    Args:
        labels: the ranker's scores. The user's queries are trained on, ranked by the LLM or not; pseudo-queries teach
            the head alone.
        corpus: the passages.
        config: see `RetrieverConfig`.
        folder: for the training curve, `retriever-losses.json`, and what chose the blend, `retriever-blend.json`.
        seed: of shuffling and sampling.
        device: where to train.
        divergence: the loss of each query.
        judges: choose how much of the new weights is kept, unless the config says it; none: all is.
        reports: where else the training curve goes.

    Returns:
        The trained model, blended with the old weights.

    Raises:
        ModelError: the configured model cannot be loaded, or cannot read as many tokens as configured.
        DataError: no query has two labelled passages, so there is nothing to learn; or too few have for one step of all
            processes.
    """
    queries = [query for query in labels if len(query.positions) >= 2 and query.source != "pseudo"]
    if not queries:
        raise DataError("labels: no query has two labelled passages, so there is nothing to learn. Check the rankings.")
    set_seed(seed)
    model = load_retriever(config, device)
    before = {name: weight.detach().clone() for name, weight in model.state_dict().items()}
    without_dropout(model)
    model.model_card_data.widget = ["none"]  # or the trainer would look for some, with progress of its own
    own_length = model.max_seq_length
    _check_length(model, config)
    if not config.epochs:
        (folder / "retriever-losses.json").write_text("[]", encoding="utf-8")
        (folder / "retriever-blend.json").write_text("null", encoding="utf-8")
        model.max_seq_length = config.max_length or own_length
        return model.eval()
    model.max_seq_length = min(config.training_length, own_length or config.training_length)
    loss = DistillationLoss(
        model,
        divergence,
        teacher_temperature=config.teacher_temperature,
        student_temperature=config.student_temperature,
        in_batch=config.in_batch,
    )
    trainer = _trainer(loss, queries, corpus, config, folder, seed, reports)
    with attention_for_training(model):
        curve = run_training(trainer, reports, "retriever")
    (folder / "retriever-losses.json").write_text(json.dumps(curve), encoding="utf-8")
    model.max_seq_length = config.max_length or own_length
    chosen = None
    if config.blend is not None:
        mix(model, before, model.state_dict(), config.blend)
    elif judges:
        chosen = choose_blend(model, before, judges)
    (folder / "retriever-blend.json").write_text(json.dumps(chosen and asdict(chosen)), encoding="utf-8")
    return model.eval()


def _trainer(
    loss: DistillationLoss,
    queries: Sequence[LabelledQuery],
    corpus: Corpus,
    config: RetrieverConfig,
    folder: Path,
    seed: int,
    reports: Reports,
) -> Any:
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments

    from datasets import Dataset as Rows
    from rankstill.retriever.steps import StepBuilder, StepCollator

    check_first_step(len(queries), config.lists_per_step, "retriever")
    builder = StepBuilder(queries, config.passages_per_query, seed)
    return averaging(SentenceTransformerTrainer)(
        model=loss.model,
        args=training_arguments(
            SentenceTransformerTrainingArguments,
            folder / "trainer",
            str(loss.model.device),
            epochs=config.epochs,
            batch=config.lists_per_step,
            rate=config.learning_rate,
            seed=seed,
            reports=reports.arguments("retriever"),
        ),
        train_dataset=Rows.from_dict({"row": list(range(len(queries)))}),
        data_collator=StepCollator(builder, corpus.text, loss.model),
        loss=loss,
        callbacks=[progress_callback("training the retriever")],
    )


def _check_length(model: SentenceTransformer, config: RetrieverConfig) -> None:
    if config.max_length is None:
        return
    most = getattr(model[0].auto_model.config, "max_position_embeddings", None)
    if most and config.max_length > most:
        raise ModelError(f"retriever.max_length: {config.model} reads at most {most} tokens. Set {most} or less.")
