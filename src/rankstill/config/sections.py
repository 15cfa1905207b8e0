"""Every option once: its default, its unit and why."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from rankstill.config.section import Section
from rankstill.config.teacher import TeacherConfig


class DatasetConfig(Section):
    """Where the corpus, the queries and the judgements come from, and which queries may teach."""

    source: str = Field(
        description="a BEIR folder; ir_datasets:<id>; hf:<repository or local path> in BEIR layout; a DPR-style .json "
        "or .jsonl file (also .gz); or scifact or nq-open, the sets that come with the package"
    )
    train_split: str | None = Field(
        "train",
        description="the qrels split whose queries may teach; null or absent: every query not in the test split",
    )
    test_split: str | None = Field(
        "test", description="the qrels split that measures; null or absent: nothing is measured"
    )
    test_source: str | None = Field(None, description="the file that measures when source is a DPR-style file")
    extra_queries: str | None = Field(
        None,
        description='unlabelled queries for the ranker to label: .txt, one a line, or .jsonl with "text" (also .gz)',
    )
    leaks: Literal["drop", "keep"] = Field(
        "drop",
        description="training queries that share a relevant passage with a test query: drop them, or keep and say so",
    )
    merge_duplicates: bool = Field(False, description="keep the first of several records with one id, do not stop")


class CandidatesConfig(Section):
    """The first stage: what is found for each query before anything is learned."""

    k: int = Field(10, ge=2, description="passages of a query that the LLM ranks")
    n: int = Field(10, ge=2, description="passages of an LLM-ranked query that the ranker labels; at least k")
    language: str | None = Field("english", description="Snowball stemmer and stop words of BM25; null for neither")
    k1: float = Field(1.2, ge=0, description="BM25's term-frequency saturation")
    b: float = Field(0.75, ge=0, le=1, description="BM25's length normalisation")
    rrf_k: float = Field(60.0, gt=0, description="constant of reciprocal rank fusion")


class RankerConfig(Section):
    """LLM -> ranker: a cross-encoder, on top of what the first stage already knows."""

    model: str | None = Field(None, description="the cross-encoder's starting weights; null: those of the retriever")
    prior: bool = Field(True, description="add a learned sum of first-stage scores; false is the paper's plain ranker")
    cross_encoder: bool = Field(True, description="train the cross-encoder; false leaves the prior alone")
    loss: Literal["listmle", "plistmle", "listnet", "ranknet", "lambda"] = Field(
        "listmle",
        description="listwise loss; listmle is the paper's and the only one that reads partial rankings as such",
    )
    holdout: float = Field(
        0.15, gt=0, lt=1, description="share of the lists that the cross-encoder is not trained on but weighed by"
    )
    epochs: int = Field(1, ge=1, description="passes over the teacher's lists")
    learning_rate: float = Field(1e-4, gt=0, description="peak, after a linear warm-up over a tenth of the steps")
    lists_per_step: int = Field(8, ge=1, description="lists a step")
    max_length: int = Field(192, ge=16, description="tokens of a query-passage pair")


class LabelsConfig(Section):
    """Ranker -> labels: as many query-passage pairs as we like, for free."""

    ranked_by: Literal["both", "ranker", "llm", "first-choice", "gold"] = Field(
        "both",
        description="where the LLM ranked: both: its order with the ranker's magnitudes; ranker: the ranker alone, as "
        "in the paper; llm: its order alone, no ranker, weights 1/rank^2; and, to compare with, first-choice: the "
        "LLM's first passage against the others; gold: the judged passages of the training queries, no LLM at all",
    )
    depth: int = Field(50, ge=2, description="passages to label of a query that the LLM did not rank")
    pseudo_queries: int = Field(
        50_000, ge=0, description="sentences of the corpus to label as if they were queries; 0 for none"
    )
    pseudo_like_queries: bool = Field(
        True, description="learn more often from sentences that look like the training queries; false: from all alike"
    )
    pseudo_by: Literal["prior", "ranker"] = Field(
        "prior", description="who labels pseudo-queries: the ranker's prior, in seconds, or the whole ranker"
    )


class RetrieverConfig(Section):
    """Labels -> retriever, first part: a bi-encoder by KL divergence."""

    model: str = Field(
        "sentence-transformers/all-MiniLM-L6-v2", description="the retriever to improve: a hub name or a folder"
    )
    query_prompt: str | None = Field(None, description="put before every query; null: the model's own, if any")
    passage_prompt: str | None = Field(None, description="put before every passage; null: the model's own, if any")
    epochs: int = Field(
        0,
        ge=0,
        description="passes over the queries that steps are built around; 0 leaves the encoder as it is",
    )
    learning_rate: float = Field(1e-4, gt=0, description="peak, after a linear warm-up over a tenth of the steps")
    lists_per_step: int = Field(5, ge=1, description="queries a step is built around")
    passages_per_query: int = Field(
        10, ge=2, description="labelled passages of each of them, sampled from its candidates"
    )
    free_lists: float = Field(
        0.0, ge=0, description="unlabelled and pseudo-queries to build steps around, for each LLM-ranked query"
    )
    riders_per_step: int = Field(150, ge=0, description="unlabelled and pseudo-queries a step, over the same passages")
    rider_weight: float = Field(1.0, ge=0, description="weight of their loss beside that of the LLM-ranked queries")
    training_length: int = Field(160, ge=16, description="tokens of a passage in training")
    max_length: int | None = Field(
        None, ge=16, description="tokens of a passage that the new retriever reads; null: as many as the old one"
    )
    teacher_temperature: float = Field(1.0, gt=0, description="divides the ranker's scores; below 1 sharpens")
    student_temperature: float = Field(0.1, gt=0, description="cosines are divided by it")
    in_batch: bool = Field(
        True, description="a step's other passages count as irrelevant; false: KL over the query's own passages alone"
    )
    contrastive_weight: float = Field(0.0, ge=0, description="weight of InfoNCE on each query's best passage")
    blend: float = Field(
        1.0, gt=0, le=1, description="share of the new weights in the saved model; the rest is the old"
    )


class HeadConfig(Section):
    """Labels -> retriever, second part: a head on the encoder's vectors that sees the whole corpus at every step."""

    width: int = Field(2048, ge=0, description="hidden units of the adapter that moves passages; 0 for no adapter")
    token_dimensions: int = Field(
        640, ge=0, multiple_of=2, description="of the token vectors beside the encoder's vector; 0 for none"
    )
    steps: int = Field(300, ge=0, description="optimiser steps; 0 leaves the head as it starts")
    learning_rate: float = Field(1e-3, gt=0, description="of the adapter: peak, after 20 steps; then it falls to 0")
    token_learning_rate: float = Field(2e-3, gt=0, description="of the token vectors: peak, likewise")
    student_temperature: float = Field(0.05, gt=0, description="cosines are divided by it")
    queries_per_step: int = Field(512, ge=1, description="unlabelled and pseudo-queries a step")
    anchor: float = Field(
        0.3, ge=0, description="weight of the squared distance by which passages move; above 0 keeps what was known"
    )

    @property
    def absent(self) -> bool:
        """Whether there is no head: the encoder alone, as in the paper."""
        return not (self.width or self.token_dimensions)


class EvaluationConfig(Section):
    """What is measured, and how surely."""

    measures: tuple[str, ...] = Field(
        ("nDCG@10", "Hit@1", "Hit@5", "Hit@10", "Hit@20", "Recall@100", "MRR@10"), description="measures to report"
    )
    rerank_depth: int = Field(20, ge=1, description="passages that the ranker reorders in its own rows of the table")
    resamples: int = Field(10_000, ge=100, description="of the bootstrap and of the randomisation test")


class RagConfig(Section):
    """Question answering: a frozen LLM reads what each system finds, for `rankstill rag` alone."""

    reader: TeacherConfig | None = Field(
        None, description="the LLM that answers, with options as of teacher; null: the teacher itself"
    )
    k: int = Field(5, ge=1, description="passages that it reads, at most; so many as fit its context")
    questions: int | None = Field(None, ge=1, description="test questions to ask; null: all that have accepted answers")


class Config(Section):
    """One experiment."""

    dataset: DatasetConfig
    candidates: CandidatesConfig = Field(default_factory=CandidatesConfig)
    teacher: TeacherConfig = Field(default_factory=TeacherConfig)
    ranker: RankerConfig = Field(default_factory=RankerConfig)
    labels: LabelsConfig = Field(default_factory=LabelsConfig)
    retriever: RetrieverConfig = Field(default_factory=RetrieverConfig)
    head: HeadConfig = Field(default_factory=HeadConfig)
    evaluation: EvaluationConfig = Field(default_factory=EvaluationConfig)
    rag: RagConfig = Field(default_factory=RagConfig)

    @model_validator(mode="after")
    def _n_holds_k(self) -> Config:
        if self.candidates.n < self.candidates.k:
            raise ValueError("candidates.n must be at least candidates.k")
        if self.labels.pseudo_by == "prior" and not self.ranker.prior and self.labels.pseudo_queries:
            raise ValueError("without a prior, set labels.pseudo_by to ranker or labels.pseudo_queries to 0")
        if not (self.ranker.prior or self.ranker.cross_encoder):
            raise ValueError("a ranker needs ranker.prior, ranker.cross_encoder or both")
        return self

    preset: Literal["rankstill", "paper"] = Field(
        "rankstill",
        description="what is not set is our recipe's, or that of the paper's plain chain: no prior, the ranker's "
        "labels alone, no pseudo-queries, the encoder trained on each query's own passages",
    )
    seed: int = Field(0, description="of sampling, shuffling and weights")
    device: str | None = Field(None, description="cpu, cuda, cuda:1, mps; null: the best there is")
