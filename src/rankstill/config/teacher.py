"""The teacher's options: which LLM to ask, how, and for how much."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from rankstill.config.section import Section
from rankstill.errors import RankstillError

_OPENAI = "https://api.openai.com/v1"
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
_SECRET = re.compile(
    r"secret|passw|credential|authorization|api[-_]?key|access[-_]?key|(access|auth)[-_]?token", re.IGNORECASE
)


class ModelPrice(Section):
    """USD per million tokens."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)


def _secret_in(parameters: Any) -> str | None:
    """The first name in nested parameters that says that its value is one."""
    if isinstance(parameters, list):
        return next(filter(None, map(_secret_in, parameters)), None)
    if not isinstance(parameters, dict):
        return None
    return next((name for name in parameters if _SECRET.search(name)), None) or _secret_in(list(parameters.values()))


# These messages never repeat a value: where a name or an address belongs, keys have been seen.
def _is_a_name(name: str | None) -> str | None:
    if name is None:
        return None
    is_name = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name)
    like_a_key = len(name) >= 24 and re.search(r"[a-z]", name) and re.search(r"[0-9]", name)
    if not is_name or like_a_key:
        raise ValueError(
            "not the name of an environment variable. Put the key into one, such as MY_API_KEY, and its name here"
        )
    return name


def _holds_no_secret(endpoint: str | None) -> str | None:
    try:
        query = parse_qsl(urlsplit(endpoint or "").query, keep_blank_values=True)
    except ValueError:
        raise ValueError("not a URL. Give one like https://api.openai.com/v1") from None
    secrets = re.compile(r"key|token|secret|passw|auth|signature|^sig$|^code$", re.IGNORECASE)
    if "@" in (endpoint or "") or any(secrets.search(name) for name, _ in query):
        raise ValueError(
            "an address with a password or a key in it, which would be stored with every call. Take it out and set "
            "teacher.api_key_env"
        )
    return endpoint


def _are_further_ones(parameters: dict[str, Any]) -> dict[str, Any]:
    for name, value in parameters.items():
        if name in _SET_ELSEWHERE:
            raise ValueError(f"{name} is not set here, but by {_SET_ELSEWHERE[name]}")
        if secret := _secret_in({name: value}):
            raise ValueError(
                f"{secret} looks like a key, which would be stored. Put it into the variable that teacher.api_key_env "
                "names, or into one that the provider's library reads"
            )
        if name in _FIXED:
            raise ValueError(f"{name} cannot be set: it is made for each call")
        if name in ("max_tokens", "max_completion_tokens") and not (
            value is None or (type(value) is int and value > 0)
        ):
            raise ValueError(f"{name} must be a whole number above 0, or null to leave it out")
    return parameters


KeyName = Annotated[str | None, AfterValidator(_is_a_name)]
"""Name of the environment variable that holds an API key."""
Address = Annotated[str | None, AfterValidator(_holds_no_secret)]
"""Base URL of an API."""
Parameters = Annotated[dict[str, Any], AfterValidator(_are_further_ones)]
"""Further ones of a request."""


class TeacherConfig(Section):
    """The LLM that ranks: which one, how to ask it, and how much it may cost."""

    model_config = ConfigDict(hide_input_in_errors=True)  # it may be a key, put where its variable's name belongs

    kind: Literal["recorded", "api", "litellm", "local"] = Field(
        "recorded",
        description=(
            "recorded: use the rankings of a rankings.jsonl. api: any OpenAI-compatible endpoint. litellm: any "
            "provider that litellm reaches. local: a llama.cpp server for a GGUF model, started on this machine."
        ),
    )
    rankings: str | None = Field(None, description="The rankings.jsonl to use. null: the one beside the dataset.")
    model: str | None = Field(
        None, description="The LLM: its name at the endpoint. For local: a GGUF file, or <hub repository>:<file>.gguf."
    )
    endpoint: Address = Field(
        None,
        description=(
            "Base URL of the API. null: https://api.openai.com/v1 for api, and the one that litellm knows for "
            "litellm. local does not use it."
        ),
    )
    api_key_env: KeyName = Field(
        None,
        description=(
            "Name of the environment variable that holds the API key. null: OPENAI_API_KEY for OpenAI, and the one "
            "that litellm knows for litellm."
        ),
    )
    queries: int | None = Field(None, ge=1, description="How many training queries the LLM ranks. null: all of them.")
    strategy: Literal["listwise", "setwise", "pairwise"] = Field(
        "listwise",
        description=(
            "How to ask. listwise: the order of a window of passages. setwise: the best of a few, for small models. "
            "pairwise: the better of two, for the smallest."
        ),
    )
    window: int = Field(
        20,
        ge=2,
        description=(
            "How many passages a listwise prompt shows. On longer lists the window slides, from the end to the start."
        ),
    )
    step: int = Field(10, ge=1, description="How many passages the window slides by.")
    set_size: int = Field(4, ge=2, description="How many passages a setwise prompt shows.")
    top: int = Field(10, ge=1, description="How many of the best passages setwise finds.")
    labels: Literal["numbers", "letters"] = Field("numbers", description="How passages are named in a prompt.")
    template: str | None = Field(
        None, description="A prompt template of your own (Jinja2). null: our template for the strategy."
    )
    passage_tokens: int = Field(
        300, ge=8, description="About how many tokens of each passage a prompt shows. The rest is cut at a word."
    )
    structured: bool = Field(False, description="Ask for JSON by a schema, if the endpoint supports it.")
    shuffles: int = Field(
        1, ge=1, description="In how many orders each list is shown. Above 1, their agreement sets the list's weight."
    )
    ask_again: int = Field(2, ge=0, description="How often to ask again for an answer that cannot be read.")
    temperature: float = Field(0.0, ge=0, description="The LLM's sampling temperature.")
    answer_tokens: int = Field(
        512, ge=1, description="The longest answer, in tokens. A reasoning model needs thousands."
    )
    parameters: Parameters = Field(
        default_factory=dict, description="Further parameters of the request. null removes one of ours."
    )
    batch: bool = Field(
        False, description="Ask through the provider's batch API, which is slower and often half the price."
    )
    concurrency: int = Field(
        16, ge=1, description="How many calls to make at once, at most. Fewer if the endpoint asks for it."
    )
    timeout: float = Field(120.0, gt=0, description="Seconds that one try of a call may take.")
    tries: int = Field(6, ge=1, description="How often to try a call that fails for a temporary reason.")
    accept_missing: bool = Field(
        False,
        description=(
            "Continue without the lists whose calls failed, even if many are refused one after another. false: "
            "stop, so that the next run asks for them again."
        ),
    )
    context: int = Field(8192, ge=256, description="Tokens of a local model's prompt and answer together.")
    max_cost: float | None = Field(
        None, ge=0, description="Limit in USD. Asking stops before the call that could exceed it."
    )
    max_tokens: int | None = Field(
        None,
        ge=0,
        description="Limit of tokens, in and out together. Asking stops before the call that could exceed it.",
    )
    max_calls: int | None = Field(
        None, ge=0, description="Limit of calls. Asking stops before the call that would exceed it."
    )
    prices: dict[str, ModelPrice] = Field(
        default_factory=dict,
        description=(
            "USD per million tokens by model, {name: {input: 1, output: 2}}. They replace the prices of the "
            "package's table."
        ),
    )
    ledger: str | None = Field(
        None, description="The SQLite file that keeps every call. null: one for all workspaces ($RANKSTILL_LEDGER)."
    )

    def base_url(self) -> str | None:
        """The API's address: the one set, or OpenAI's; None where litellm knows it, or no API is asked."""
        return self.endpoint or (_OPENAI if self.kind == "api" else None)

    def key_name(self) -> str | None:
        """The environment variable that holds the key: the one set, or for OpenAI's own address OpenAI's."""
        return self.api_key_env or ("OPENAI_API_KEY" if self.base_url() == _OPENAI else None)

    def ranking_options(self) -> dict[str, Any]:
        """The options that rankings depend on. The others set only speed, price and address."""
        others = {"api_key_env", "batch", "concurrency", "timeout", "tries", "prices", "ledger", "rankings"}
        limits = {"max_cost", "max_tokens", "max_calls"}
        return {**self.model_dump(mode="json", exclude=others | limits), "endpoint": self.base_url()}

    @model_validator(mode="after")
    def _can_ask(self) -> TeacherConfig:
        if self.kind in ("api", "litellm", "local") and not self.model:
            raise ValueError(f"teacher.model: say which model to ask (teacher.kind is {self.kind})")
        if self.strategy == "listwise" and self.step >= self.window:
            raise ValueError("teacher.step must be below teacher.window; half of it is a good step")
        if self.batch and self.kind != "api":
            raise ValueError("teacher.batch needs teacher.kind: api")
        return self


class JudgeConfig(Section):
    """Proof without labels, for `rankstill judge` and `check-judge`. Options that are not set are the teacher's."""

    model_config = ConfigDict(hide_input_in_errors=True)  # it may be a key, put where its variable's name belongs

    model: str | None = Field(
        None, description="The LLM that judges. null: the teacher, which favours systems that learned from it."
    )
    kind: Literal["api", "litellm", "local"] | None = Field(
        None,
        description="The judge's teacher.kind. null: the teacher's, or api if the teacher's rankings are recorded.",
    )
    endpoint: Address = Field(
        None, description="The judge's teacher.endpoint. null: the teacher's, if the kind is the same."
    )
    api_key_env: KeyName = Field(
        None, description="The judge's teacher.api_key_env. null: the teacher's, if kind and endpoint are the same."
    )
    after_run: bool = Field(
        False,
        description=(
            "`rankstill run` has its unjudged queries judged too, within teacher.max_cost. false: it ends with the "
            "command and its price."
        ),
    )
    queries: int = Field(100, ge=1, description="How many unjudged queries to judge at most.")
    k: int = Field(10, ge=1, description="How many passages of each system to judge.")
    template: str | None = Field(None, description="A prompt template of your own (Jinja2). null: judge-v1.")
    passage_tokens: int | None = Field(
        None, ge=8, description="Tokens of each passage in a prompt. null: the teacher's."
    )
    answer_tokens: int | None = Field(
        None, ge=8, description="The longest answer, in tokens. A reasoning model needs thousands. null: the teacher's."
    )
    context: int | None = Field(
        None,
        ge=256,
        description=(
            "Tokens of prompt and answer together. A query whose passages do not fit takes several calls. null: "
            "teacher.context."
        ),
    )
    parameters: Parameters | None = Field(
        None, description="Further parameters of the request. null: the teacher's, if the model is the same."
    )

    def llm(self, teacher: TeacherConfig) -> TeacherConfig:
        """The judge, with the options of a teacher.

        A key goes to the address that it was set for alone, and parameters to their model.

        Args:
            teacher: the teacher whose options hold where the judge has none.

        Raises:
            RankstillError: no LLM is named.
        """
        recorded = teacher.kind == "recorded"
        kind = self.kind or ("api" if recorded else teacher.kind)
        model = self.model or teacher.model
        if not model:
            raise RankstillError(
                "judge.model: name the LLM that judges, because the teacher's rankings are recorded. Set "
                "judge.endpoint and judge.api_key_env too, if it is not OpenAI's, or judge.kind: local."
            )
        there = not recorded and kind == teacher.kind and self.endpoint in (None, teacher.endpoint)
        if kind == "litellm":  # where the model's name says whose it is
            there = there and model == teacher.model
        changes: dict[str, Any] = {
            "kind": kind,
            "model": model,
            "endpoint": teacher.endpoint if there else self.endpoint,
            "api_key_env": self.api_key_env or (teacher.api_key_env if there else None),
            "parameters": teacher.parameters if model == teacher.model else {},
            "batch": teacher.batch and kind == "api",
        }
        own = {name: getattr(self, name) for name in ("passage_tokens", "answer_tokens", "context", "parameters")}
        return teacher.model_copy(update={**changes, **{name: each for name, each in own.items() if each is not None}})
