"""The judge's options: which LLM grades what each system found, and how much of it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from rankstill.config.section import Section
from rankstill.config.teacher import Address, KeyName, Parameters, TeacherConfig
from rankstill.errors import RankstillError


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
