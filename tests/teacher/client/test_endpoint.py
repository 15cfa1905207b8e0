"""Whom to ask: OpenAI's address and key for OpenAI's kind alone, and the same name from run to run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rankstill.config import TeacherConfig
from rankstill.errors import RankstillError
from rankstill.teacher.client.endpoint import named, reach


@pytest.mark.parametrize(
    ("settings", "name", "url", "key"),
    [
        ({"kind": "api"}, "https://api.openai.com/v1", "https://api.openai.com/v1", "OPENAI_API_KEY"),
        ({"kind": "api", "endpoint": "http://a/v1"}, "http://a/v1", "http://a/v1", None),
        ({"kind": "litellm"}, "litellm", "", None),
        ({"kind": "litellm", "endpoint": "http://a/v1", "api_key_env": "K"}, "http://a/v1", "http://a/v1", "K"),
    ],
)
def test_openais_address_and_key_stand_in_for_openais_api_alone(
    settings: dict[str, Any], name: str, url: str, key: str | None
) -> None:
    config = TeacherConfig(model="m", **settings)
    assert named(config) == (name, "m")
    with reach(config) as place:
        assert place.url == url
    assert config.key_name() == key


def test_a_local_model_is_named_by_its_file_and_needs_no_key(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    names = []
    for weights in (b"1" * 50, b"2" * 50):
        path.write_bytes(b"GGUF" + weights)
        config = TeacherConfig(kind="local", model=str(path))
        names.append(named(config))
    assert [endpoint for endpoint, _ in names] == ["local", "local"]
    assert names[0][1].startswith("model.gguf, 54 bytes, ")
    assert names[0] != names[1]
    assert config.base_url() is config.key_name() is None


def test_recorded_rankings_have_nobody_to_ask() -> None:
    with pytest.raises(RankstillError, match=r"teacher\.kind is recorded"):
        named(TeacherConfig())
