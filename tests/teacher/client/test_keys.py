"""One check of address and key, whoever asks; and a key is never said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rankstill.config import TeacherConfig
from rankstill.teacher.client.batch_api import BatchAPI
from rankstill.teacher.client.chat import ChatClient
from rankstill.teacher.client.endpoint import reach
from rankstill.teacher.client.failures import TeacherError
from rankstill.teacher.client.keys import read_key


def live(config: TeacherConfig) -> None:
    with reach(config) as place:
        ChatClient(config, place, lambda *_: None)


def in_batches(config: TeacherConfig) -> None:
    BatchAPI(config)


def api(key: str | None) -> TeacherConfig:
    return TeacherConfig(kind="api", model="m", endpoint="https://api.example.com/v1", api_key_env=key)


@pytest.mark.parametrize("ask", [live, in_batches])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, r"https://api\.openai\.com/v1: no API key in the environment variable OPENAI_API_KEY\. Set it: export"),
        ({"api_key_env": "BLANK_KEY"}, r"no API key in the environment variable BLANK_KEY\. .*any word"),
        ({"api_key_env": "QUOTED_KEY"}, "the key in QUOTED_KEY contains characters that are not allowed in a header"),
        ({"endpoint": "api.openai.com"}, r'endpoint "api\.openai\.com": not a URL'),
        ({"endpoint": "http://localhost:port/v1"}, "not a URL"),
        ({"endpoint": "https:///v1"}, "not a URL"),
    ],
)
def test_address_and_key_are_checked_alike_live_and_in_batches(
    ask: Callable[[TeacherConfig], None], settings: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("BLANK_KEY", " ")
    monkeypatch.setenv("QUOTED_KEY", "“sk-secret”")
    with pytest.raises(TeacherError, match=message) as caught:
        ask(TeacherConfig.model_validate({"kind": "api", "model": "m", **settings}))
    assert "sk-secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_endpoint_on_this_machine_needs_no_key_but_gets_the_one_that_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("A_KEY", raising=False)
    assert read_key(api("A_KEY"), "http://localhost:8000/v1") is None
    assert read_key(api(None), "http://127.0.0.1:8000/v1") is None
    monkeypatch.setenv("A_KEY", " word\n")
    assert read_key(api("A_KEY"), "http://localhost:8000/v1") == "word"


def test_an_endpoint_elsewhere_needs_the_name_of_a_key() -> None:
    with pytest.raises(TeacherError, match=r"teacher\.api_key_env"):
        read_key(api(None), "https://api.example.com/v1")


def test_a_key_that_is_named_for_litellm_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("A_KEY", raising=False)
    config = TeacherConfig(kind="litellm", model="m")
    assert read_key(config, "") is None
    with pytest.raises(TeacherError, match="litellm: no API key in the environment variable A_KEY"):
        read_key(config.model_copy(update={"api_key_env": "A_KEY"}), "")


def test_an_address_that_is_no_url_is_said_without_its_password() -> None:
    with pytest.raises(TeacherError) as caught:
        read_key(api("A_KEY"), "ftp://me:hunter2@example.com")
    assert "hunter2" not in str(caught.value)
