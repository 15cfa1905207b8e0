"""Schemathesis knows the server by its OpenAPI document alone, and tries what the document allows and forbids."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from loopback import Served

schemathesis = pytest.importorskip("schemathesis", reason="package schemathesis is not installed")

PATHS = ("/search", "/rerank", "/v1/embeddings", "/embed", "/votes", "/marks", "/health", "/about", "/v1/models")


@pytest.mark.parametrize("path", PATHS)
def test_the_server_does_what_its_openapi_document_says(server: Served, path: str) -> None:
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    method = "GET" if path in ("/health", "/about", "/v1/models") else "POST"
    operation = schema[path][method]

    answered: list[int] = []

    @given(case=operation.as_strategy())
    @settings(max_examples=15, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck))
    def conforms(case: schemathesis.Case) -> None:
        response = case.call()
        case.validate_response(response)  # raises where status, headers or body are not as documented
        answered.append(response.status_code)

    conforms()
    documented = {int(status) for status in operation.definition.raw["responses"]}
    assert answered
    assert {status for status in answered if status != 200} <= documented - {500}
    # Marks are of passages that the corpus has, which no document can list.
    assert 200 in answered or path == "/marks"
