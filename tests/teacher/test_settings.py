"""The teacher's options: no secrets in them, and nothing that would break a call only when it is made."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from rankstill.config import TeacherConfig, make_config
from rankstill.errors import RankstillError


def refused(**options: Any) -> str:
    """The message about a teacher's options, the same in Python as in a config."""
    with pytest.raises(RankstillError) as caught:
        make_config({"dataset": {"source": "scifact"}, "teacher": {"kind": "api", "model": "m", **options}})
    message = str(caught.value)
    with pytest.raises(ValidationError) as plain:
        TeacherConfig.model_validate({"kind": "api", "model": "m", **options})
    assert "\n" not in message
    return message + str(plain.value)


@pytest.mark.parametrize(
    "key",
    [
        "sk-proj-hunter2hunter2",
        "hunter2 ",
        "hunter2=x",
        "2hunter2",
        "hunter2é",
        "gsk_hunter2hunter2hunter2hunter2",
        "",
    ],
)
def test_a_key_where_its_variables_name_belongs_is_refused_and_not_repeated(key: str) -> None:
    message = refused(api_key_env=key)
    assert "teacher.api_key_env: not the name of an environment variable" in message
    assert "hunter2" not in message


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "_k", "azure_key_2", "TEAM_1_AZURE_OPENAI_API_KEY_EASTUS2"])
def test_names_of_variables_are_taken(name: str) -> None:
    assert TeacherConfig(api_key_env=name).key_name() == name


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://me:hunter2@api.example.com/v1",
        "https://hunter2@api.example.com/v1",
        "me:hunter2@api.example.com/v1",
        "https://api.example.com/v1?key=hunter2",
        "https://api.example.com/v1?api-version=1&API-Key=hunter2",
        "https://api.example.com/v1?access_token=hunter2",
        "https://api.example.com/v1?sig=hunter2",
    ],
)
def test_an_address_with_a_secret_in_it_is_refused_and_not_repeated(endpoint: str) -> None:
    message = refused(endpoint=endpoint)
    assert "teacher.endpoint: an address with a password or a key in it" in message
    assert "hunter2" not in message


def test_an_address_that_cannot_be_parsed_is_said() -> None:
    assert "teacher.endpoint: not a URL" in refused(endpoint="http://[::1/v1")


def test_other_query_parameters_of_an_address_are_kept() -> None:
    endpoint = "https://name.openai.azure.com/openai/v1?api-version=preview"
    assert TeacherConfig(endpoint=endpoint).base_url() == endpoint


@pytest.mark.parametrize(
    ("parameter", "told"),
    [
        ({"model": "other"}, "model is not set here, but by teacher.model"),
        ({"timeout": 3}, "timeout is not set here, but by teacher.timeout"),
        ({"max_retries": 3}, "max_retries is not set here, but by teacher.tries"),
        ({"num_retries": 3}, "num_retries is not set here, but by teacher.tries"),
        ({"api_key": "hunter2"}, "api_key is not set here, but by the variable that teacher.api_key_env names"),
        ({"api_base": "http://a"}, "api_base is not set here, but by teacher.endpoint"),
        ({"base_url": "http://a"}, "base_url is not set here, but by teacher.endpoint"),
        ({"messages": []}, "messages cannot be set"),
        ({"stream": True}, "stream cannot be set"),
        ({"n": None}, "n cannot be set"),
        *(
            ({name: value}, f"{name} must be a whole number above 0")
            for name in ("max_tokens", "max_completion_tokens")
            for value in (0, -1, 1.5, True, "100")
        ),
    ],
)
def test_a_parameter_that_would_break_calls_is_refused_before_the_first(parameter: dict[str, Any], told: str) -> None:
    message = refused(parameters={"top_p": 0.5, **parameter})
    assert f"teacher.parameters: {told}" in message
    assert "hunter2" not in message


def test_further_parameters_are_kept_as_they_are() -> None:
    parameters = {"max_tokens": None, "max_completion_tokens": 8000, "top_p": None, "reasoning": {"effort": "low"}}
    assert TeacherConfig(parameters=parameters).parameters == parameters


def test_the_default_address_and_the_same_one_written_out_ask_the_same() -> None:
    default = TeacherConfig(kind="api", model="m")
    written_out = TeacherConfig(kind="api", model="m", endpoint="https://api.openai.com/v1")
    assert default.ranking_options() == written_out.ranking_options()
    assert default.ranking_options() != TeacherConfig(kind="litellm", model="m").ranking_options()
