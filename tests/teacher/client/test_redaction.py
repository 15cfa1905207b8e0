import json

import pytest

from rankstill.teacher.client.redaction import without_secrets


@pytest.mark.parametrize(
    "text",
    [
        "Incorrect API key provided: SECRET-0123456789. You can find your API key at https://platform.openai.com",
        "Incorrect API key provided: sk-SECRET-0123456789",
        "header Authorization: Bearer SECRET-0123456789",
        "got 'Bearer SECRET-0123456789'",
        "https://user:SECRET-0123456789@llm.example.com/v1",
        "https://llm.example.com/v1?key=SECRET-0123456789&alt=json",
        "https://llm.example.com/v1?api_key=SECRET-0123456789",
        "AIzaSECRET0123456789-abcdef",
    ],
)
def test_what_looks_like_a_key_is_taken_out(text: str) -> None:
    assert "SECRET" not in without_secrets(text)
    assert "[removed]" in without_secrets(text)


def test_json_stays_json() -> None:
    parameters = {"extra_headers": {"Authorization": "Bearer SECRET1234"}, "api_key": "SECRET", "max_tokens": 100}
    left = json.loads(without_secrets(json.dumps(parameters)))
    assert left == {"extra_headers": {"Authorization": "Bearer [removed]"}, "api_key": "[removed]", "max_tokens": 100}


@pytest.mark.parametrize(
    "text",
    [
        "https://api.openai.com/v1",
        "rate limit reached for gpt-4o-mini: 200000 tokens per minute",
        "hf_hub_download: no such file; the task-oriented risk-assessment failed",
        '{"max_tokens": 100, "temperature": 0.0}',
        "mail me@example.com about the key point",
    ],
)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert without_secrets(text) == text
