"""Which LLM judges: the teacher's options where it has none of its own, and no key at an address that it is not for."""

from __future__ import annotations

from typing import Any

import pytest

from rankstill.config import TeacherConfig, make_config, public_yaml
from rankstill.errors import RankstillError

TEACHER = {
    "kind": "api",
    "model": "gpt-4o-mini",
    "endpoint": "https://teacher.example/v1",
    "api_key_env": "TEACHERS_KEY",
    "parameters": {"top_p": 0.5},
    "batch": True,
    "max_cost": 5.0,
}


def judge(teacher: dict[str, Any], **options: Any) -> TeacherConfig:
    values = {"dataset": {"source": "x"}, "teacher": teacher, "judge": options}
    config = make_config(values)
    return config.judge.llm(config.teacher)


def test_without_options_of_its_own_it_is_the_teacher() -> None:
    assert judge(TEACHER) == TeacherConfig.model_validate(TEACHER)


def test_another_model_at_the_same_address_has_its_key_and_not_its_parameters() -> None:
    llm = judge(TEACHER, model="gpt-4o", answer_tokens=2000)
    assert (llm.model, llm.endpoint, llm.api_key_env) == ("gpt-4o", "https://teacher.example/v1", "TEACHERS_KEY")
    assert (llm.parameters, llm.answer_tokens, llm.max_cost, llm.batch) == ({}, 2000, 5.0, True)
    assert judge(TEACHER, model="gpt-4o", parameters={"seed": 1}).parameters == {"seed": 1}


@pytest.mark.parametrize(
    "elsewhere",
    [{"endpoint": "https://judge.example/v1"}, {"kind": "litellm", "model": "anthropic/claude"}],
)
def test_the_teachers_key_goes_nowhere_else(elsewhere: dict[str, str]) -> None:
    llm = judge(TEACHER, **elsewhere)
    assert llm.key_name() is None
    assert judge(TEACHER, **elsewhere, api_key_env="JUDGES_KEY").key_name() == "JUDGES_KEY"


def test_litellm_tells_providers_apart_by_the_models_name() -> None:
    teacher = {"kind": "litellm", "model": "openai/gpt-4o-mini", "api_key_env": "TEACHERS_KEY"}
    assert judge(teacher, model="anthropic/claude").api_key_env is None
    assert judge(teacher).api_key_env == "TEACHERS_KEY"


def test_beside_recorded_rankings_a_model_is_enough() -> None:
    llm = judge({"kind": "recorded", "endpoint": "https://unused.example/v1"}, model="gpt-4o")
    assert (llm.kind, llm.endpoint, llm.key_name()) == ("api", None, "OPENAI_API_KEY")
    with pytest.raises(RankstillError, match=r"judge\.model: name the LLM"):
        judge({"kind": "recorded"})


def test_a_local_judge_asks_in_no_batch() -> None:
    assert judge(TEACHER, kind="local", model="model.gguf").batch is False


@pytest.mark.parametrize(
    "options",
    [{"api_key_env": "sk-abcdefgh1234567890abcdefgh"}, {"endpoint": "https://user:secret@x/v1"}],
)
def test_a_key_in_the_wrong_place_is_refused_and_not_repeated(options: dict[str, str]) -> None:
    with pytest.raises(RankstillError) as caught:
        make_config({"dataset": {"source": "x"}, "judge": options})
    assert next(iter(options.values())) not in str(caught.value)


def test_where_the_judge_is_reached_is_not_published() -> None:
    options = {"model": "gpt-4o", "endpoint": "https://judge.example/v1", "api_key_env": "JUDGES_KEY"}
    shown = public_yaml(make_config({"dataset": {"source": "x"}, "judge": options}))
    assert "judge.example" not in shown
    assert "JUDGES_KEY" not in shown
    assert "not shown: judge.endpoint, judge.api_key_env" in shown
