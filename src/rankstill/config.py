"""Every option once: its default, its unit and why. YAML in and out; the command line's flags name the same paths."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from rankstill.errors import RankstillError


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DatasetConfig(_Section):
    """Where the corpus, the queries and the judgements come from, and which queries may teach."""

    source: str = Field(
        description="a BEIR folder; ir_datasets:<id>; hf:<repository or local path> in BEIR layout; a DPR-style .json "
        "or .jsonl file (also .gz); or scifact, the set that comes with the package"
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


class CandidatesConfig(_Section):
    """The first stage: what is found for each query before anything is learned."""

    k: int = Field(10, ge=2, description="passages of a query that the LLM ranks")
    n: int = Field(10, ge=2, description="passages of an LLM-ranked query that the ranker labels; at least k")
    language: str | None = Field("english", description="Snowball stemmer and stop words of BM25; null for neither")
    k1: float = Field(1.2, ge=0, description="BM25's term-frequency saturation")
    b: float = Field(0.75, ge=0, le=1, description="BM25's length normalisation")
    rrf_k: float = Field(60.0, gt=0, description="constant of reciprocal rank fusion")


_OPENAI = "https://api.openai.com/v1"


class ModelPrice(_Section):
    """USD per million tokens."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)


_SET_ELSEWHERE = {
    "model": "teacher.model",
    "timeout": "teacher.timeout",
    "num_retries": "teacher.tries",
    "max_retries": "teacher.tries",
    "api_key": "the variable that teacher.api_key_env names",
    "api_base": "teacher.endpoint",
    "base_url": "teacher.endpoint",
}
_FIXED = {"messages", "stream", "n"}


class TeacherConfig(_Section):
    """The black box that ranks: whom to ask, how, and for how much."""

    model_config = ConfigDict(hide_input_in_errors=True)  # it may be a key, put where its variable's name belongs

    kind: Literal["recorded", "api", "litellm", "local"] = Field(
        "recorded",
        description="recorded: replay a rankings.jsonl; api: any OpenAI-compatible endpoint; litellm: whatever litellm "
        "reaches; local: a llama.cpp server for a GGUF model, started here",
    )
    rankings: str | None = Field(
        None, description="the rankings.jsonl to replay; null: the one that lies beside the dataset"
    )
    model: str | None = Field(
        None, description="the LLM: its name at the endpoint; for local a GGUF file, or <hub repository>:<file>.gguf"
    )
    endpoint: str | None = Field(
        None,
        description="base URL of the API; null: https://api.openai.com/v1 for api, the one it knows for litellm; not "
        "used by local",
    )
    api_key_env: str | None = Field(
        None,
        description="name of the environment variable that holds the API key; null: OPENAI_API_KEY for OpenAI, and for "
        "litellm the one it knows",
    )
    queries: int | None = Field(None, ge=1, description="training queries to have ranked; null: all of them")
    strategy: Literal["listwise", "setwise", "pairwise"] = Field(
        "listwise",
        description="listwise: orders of a window; setwise: the best of a few, for small models; pairwise: the better "
        "of two, for the smallest",
    )
    window: int = Field(
        20, ge=2, description="passages that a listwise prompt shows; longer lists slide it, tail first"
    )
    step: int = Field(10, ge=1, description="how far the window slides")
    set_size: int = Field(4, ge=2, description="passages that a setwise prompt shows")
    top: int = Field(10, ge=1, description="how many of the best setwise finds")
    labels: Literal["numbers", "letters"] = Field("numbers", description="what names the passages in a prompt")
    template: str | None = Field(
        None, description="a prompt template of your own (Jinja2); null: ours for the strategy"
    )
    passage_tokens: int = Field(300, ge=8, description="of a passage in a prompt, about; the rest is cut at a word")
    structured: bool = Field(False, description="ask for JSON by schema, where the endpoint can")
    shuffles: int = Field(
        1, ge=1, description="orders in which each list is shown; above 1 their agreement weighs the list"
    )
    aggregate: Literal["borda", "kemeny"] = Field("borda", description="how the shuffles' answers become one order")
    ask_again: int = Field(2, ge=0, description="times to ask again for an answer that cannot be read")
    temperature: float = Field(0.0, ge=0, description="of the LLM's sampling")
    answer_tokens: int = Field(512, ge=1, description="of an answer, at most; a model that reasons needs thousands")
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="further ones of the request; null takes one of ours out"
    )
    batch: bool = Field(False, description="ask through the provider's batch API: slower, and often half the price")
    concurrency: int = Field(16, ge=1, description="calls at once, at most; fewer when the endpoint says so")
    timeout: float = Field(120.0, gt=0, description="seconds that one try of a call may take")
    tries: int = Field(6, ge=1, description="of a call that fails for a reason that may heal")
    accept_missing: bool = Field(
        False,
        description="go on without the lists whose calls failed; false: stop, so that the next run asks them anew",
    )
    context: int = Field(8192, ge=256, description="tokens of a local model's prompt and answer together")
    max_cost: float | None = Field(None, ge=0, description="USD; asking stops before the call that could pass it")
    max_tokens: int | None = Field(None, ge=0, description="in and out together; likewise")
    max_calls: int | None = Field(None, ge=0, description="likewise")
    prices: dict[str, ModelPrice] = Field(
        default_factory=dict, description="USD per million tokens by model, {name: {input: 1, output: 2}}, over our own"
    )
    ledger: str | None = Field(
        None, description="the SQLite file that keeps every call; null: one for all workspaces ($RANKSTILL_LEDGER)"
    )

    def base_url(self) -> str | None:
        """The API's address: the one set, or OpenAI's; None where litellm knows it, or no API is asked."""
        return self.endpoint or (_OPENAI if self.kind == "api" else None)

    def key_name(self) -> str | None:
        """The environment variable that holds the key: the one set, or for OpenAI's own address OpenAI's."""
        return self.api_key_env or ("OPENAI_API_KEY" if self.base_url() == _OPENAI else None)

    def what_is_asked(self) -> dict[str, Any]:
        """The options that rankings depend on; the others say how fast, how dear and where they are asked for."""
        others = {"api_key_env", "batch", "concurrency", "timeout", "tries", "prices", "ledger", "rankings"}
        limits = {"max_cost", "max_tokens", "max_calls"}
        return {**self.model_dump(mode="json", exclude=others | limits), "endpoint": self.base_url()}

    # These messages never repeat a value: where a name or an address belongs, keys have been seen.
    @field_validator("api_key_env")
    @classmethod
    def _is_a_name(cls, name: str | None) -> str | None:
        if name is None:
            return None
        is_name = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name)
        like_a_key = len(name) >= 24 and re.search(r"[a-z]", name) and re.search(r"[0-9]", name)
        if not is_name or like_a_key:
            raise ValueError(
                "not the name of an environment variable. Put the key into one, such as MY_API_KEY, and its name here"
            )
        return name

    @field_validator("endpoint")
    @classmethod
    def _holds_no_secret(cls, endpoint: str | None) -> str | None:
        try:
            query = parse_qsl(urlsplit(endpoint or "").query, keep_blank_values=True)
        except ValueError:
            raise ValueError("not a URL. Give one like https://api.openai.com/v1") from None
        secrets = re.compile(r"key|token|secret|passw|auth|signature|^sig$|^code$", re.IGNORECASE)
        if "@" in (endpoint or "") or any(secrets.search(name) for name, _ in query):
            raise ValueError(
                "an address with a password or a key in it, which would be written down with every call. Take it out "
                "and set teacher.api_key_env"
            )
        return endpoint

    @field_validator("parameters")
    @classmethod
    def _are_further_ones(cls, parameters: dict[str, Any]) -> dict[str, Any]:
        for name, value in parameters.items():
            if name in _SET_ELSEWHERE:
                raise ValueError(f"{name} is not set here but by {_SET_ELSEWHERE[name]}")
            if name in _FIXED:
                raise ValueError(f"{name} cannot be set: it is made for each call")
            if name in ("max_tokens", "max_completion_tokens") and not (
                value is None or (type(value) is int and value > 0)
            ):
                raise ValueError(f"{name} must be a whole number above 0, or null to leave it out")
        return parameters

    @model_validator(mode="after")
    def _can_ask(self) -> TeacherConfig:
        if self.kind in ("api", "litellm", "local") and not self.model:
            raise ValueError(f"teacher.model: say which model to ask (teacher.kind is {self.kind})")
        if self.strategy == "listwise" and self.step >= self.window:
            raise ValueError("teacher.step must be below teacher.window; half of it is a good step")
        if self.batch and self.kind != "api":
            raise ValueError("teacher.batch needs teacher.kind: api")
        return self


class RankerConfig(_Section):
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


class LabelsConfig(_Section):
    """Ranker -> labels: as many query-passage pairs as we like, for free."""

    ranked_by: Literal["both", "ranker", "llm"] = Field(
        "both",
        description="where the LLM ranked: both: its order with the ranker's magnitudes; ranker: the ranker alone, as "
        "in the paper; llm: its order alone, no ranker, weights 1/rank^2",
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


class RetrieverConfig(_Section):
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


class HeadConfig(_Section):
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


class EvaluationConfig(_Section):
    """What is measured, and how surely."""

    measures: tuple[str, ...] = Field(
        ("nDCG@10", "Hit@1", "Hit@5", "Hit@10", "Hit@20", "Recall@100", "MRR@10"), description="measures to report"
    )
    rerank_depth: int = Field(20, ge=1, description="passages that the ranker reorders in its own rows of the table")
    resamples: int = Field(10_000, ge=100, description="of the bootstrap and of the randomisation test")


class Config(_Section):
    """One experiment."""

    dataset: DatasetConfig
    candidates: CandidatesConfig = Field(default_factory=CandidatesConfig)
    teacher: TeacherConfig = Field(default_factory=TeacherConfig)
    ranker: RankerConfig = Field(default_factory=RankerConfig)
    labels: LabelsConfig = Field(default_factory=LabelsConfig)
    retriever: RetrieverConfig = Field(default_factory=RetrieverConfig)
    head: HeadConfig = Field(default_factory=HeadConfig)
    evaluation: EvaluationConfig = Field(default_factory=EvaluationConfig)

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
        description="what is not set is our recipe's, or that of the paper's plain chain: no prior, the ranker's labels "
        "alone, no pseudo-queries, the encoder trained on each query's own passages",
    )
    seed: int = Field(0, description="of sampling, shuffling and weights")
    device: str | None = Field(None, description="cpu, cuda, cuda:1, mps; null: the best there is")


_PAPER: dict[str, dict[str, Any]] = {
    "ranker": {"prior": False, "cross_encoder": True},
    "labels": {"ranked_by": "ranker", "pseudo_queries": 0, "pseudo_by": "ranker"},
    "retriever": {"epochs": 1, "in_batch": False},
    "head": {"width": 0, "token_dimensions": 0},
}


def write_config(config: Config) -> str:
    """As YAML, every option with its value."""
    import yaml

    text: str = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    return text


def read_config(path: str | Path, changes: Mapping[str, Any] | None = None) -> Config:
    """Read a YAML config.

    Args:
        path: of the file.
        changes: options to set over the file's, by dotted path, such as {"ranker.prior": False}.

    Raises:
        RankstillError: the file is missing or broken, or an option is unknown or has a value that it cannot have.
    """
    import yaml

    path = Path(path)
    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RankstillError(f"{path}: there is no such config. `rankstill init` writes one.") from None
    except OSError as error:
        raise RankstillError(f"{path}: cannot be read as a config ({error.strerror}).") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RankstillError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(read, dict):
        raise RankstillError(f"{path}: a config is a YAML mapping with a section a step. `rankstill init` writes one.")
    return make_config(read, changes, str(path))


def make_config(values: Mapping[str, Any], changes: Mapping[str, Any] | None = None, where: str = "config") -> Config:
    """Check values, with changes by dotted path, against what the options may be.

    Raises:
        RankstillError: an option is unknown or has a value that it cannot have.
    """
    tree: dict[str, Any] = {
        name: dict(value) if isinstance(value, Mapping) else value for name, value in values.items()
    }
    for name, info in Config.model_fields.items():
        is_section = isinstance(info.annotation, type) and issubclass(info.annotation, _Section)
        if is_section and tree.get(name, {}) is None:
            tree[name] = {}  # its options are all left out
    for dotted, value in (changes or {}).items():
        section, _, option = dotted.rpartition(".")
        if not section:
            tree[option] = value
        elif isinstance(tree.setdefault(section, {}), dict):
            tree[section][option] = value
    if tree.get("preset") == "paper":
        for section, options in _PAPER.items():
            if isinstance(own := tree.setdefault(section, {}), dict):
                tree[section] = {**options, **own}
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise RankstillError(
            f"{where}: {_first_mistake(error)}. `rankstill init` writes a config with every option."
        ) from None


def _first_mistake(error: ValidationError) -> str:
    first = error.errors()[0]
    plainly = {"extra_forbidden": "no such option", "model_type": "a section, with its options below it"}
    told = plainly.get(first["type"], first["msg"].removeprefix("Value error, "))
    return ": ".join(filter(None, [".".join(str(part) for part in first["loc"]), told]))


def commented_config(source: str) -> str:
    """A YAML config with every option, its default and its meaning.

    Args:
        source: the dataset to name in it.
    """
    import yaml

    def scalar(value: Any) -> str:
        text: str = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000)
        return text.removesuffix("\n").removesuffix("\n...")

    defaults = Config(dataset=DatasetConfig(source=source)).model_dump(mode="json")
    lines = ["# Every option of Rankstill with its default. What you do not change you may leave out."]
    for name, info in Config.model_fields.items():
        value = defaults[name]
        if not isinstance(value, dict):
            lines += ["", f"# {info.description}", f"{name}: {scalar(value)}"]
            continue
        section = type(getattr(Config(dataset=DatasetConfig(source=source)), name))
        lines += ["", f"# {(section.__doc__ or '').strip()}", f"{name}:"]
        for option, about in section.model_fields.items():
            lines += [f"  # {about.description}", f"  {option}: {scalar(value[option])}"]
    return "\n".join(lines) + "\n"
