"""A call as an endpoint takes it that does not know one of the request's parameters."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from rankstill.teacher.calls import Call

INSTEAD = {
    "response_format": "going on with plain text",
    "max_tokens": "going on with max_completion_tokens",
    "temperature": "going on with the model's own",
}
"""What the calls are then asked with, for people."""


def adapted(call: Call, refused: Collection[str]) -> Call:
    """The call without the parameters that the endpoint does not take; `max_tokens` by its newer name.

    The answer can still be read: the prompt asks for JSON in words as well.
    """
    if not any(name in call.parameters for name in refused):
        return call
    parameters = {name: value for name, value in call.parameters.items() if name not in refused}
    if "max_tokens" in refused and "max_tokens" in call.parameters:
        parameters.setdefault("max_completion_tokens", call.parameters["max_tokens"])
    return replace(call, parameters=parameters)
