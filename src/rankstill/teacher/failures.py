"""Why a call failed and what follows from it: try again, slow down, leave this call out, or stop."""

from __future__ import annotations

import asyncio
import email.utils
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import openai

from rankstill.errors import RankstillError

_LONGEST_MESSAGE = 200
_LONGEST_WAIT = 60.0
_SLOWER = {429, 503, 529}  # 529 is Anthropic's "overloaded"
_AGAIN = {408, 409, 425}
_OUT_OF_CREDIT = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
_TOO_LONG = re.compile(
    r"context.?(length|size|window)|maximum context|prompt is too long|too many tokens|maximum number of tokens",
    re.IGNORECASE,
)
_NO_SCHEMAS = re.compile(r"response.?format|json.?schema", re.IGNORECASE)

_PAY = "Add credit or raise the account's limit, and run the same command again: what is done is kept."
_SHORTEN = "The prompt is too long for this model: show fewer passages at once, or cut them shorter."
_CHECK_REQUEST = "The endpoint does not accept this request: check the teacher's model and parameters."
_UNSTRUCTURED = (
    "If the endpoint takes no JSON schemas, set teacher.structured: false, without response_format in parameters."
)
_ADVICE = {
    401: "Check the API key.",
    402: _PAY,
    403: "Check that the API key may use this model, and from here.",
    404: "Check the endpoint (its address often ends in /v1) and the name of the model.",
}


class TeacherError(RankstillError):
    """An endpoint that cannot be asked: no call would fare better."""


class CallFailed(TeacherError):  # noqa: N818 - what happened, not a mistake of the user's
    """A call without an answer; other calls may fare better.

    Args:
        message: one line.
        refused: whether the endpoint answered that it will never take this prompt; else the call was given up after
            as many tries as allowed.
    """

    def __init__(self, message: str, *, refused: bool = False) -> None:
        super().__init__(message)
        self.refused = refused


class BadReplyError(Exception):
    """A reply with a good status that holds no answer: cut short, not JSON, or an error in disguise."""

    failure: Failure | None = None
    """What it means, if whoever raised it knows."""


@dataclass(frozen=True)
class Failure:
    """Why a try failed.

    Args:
        what: one line: the status and the provider's own message.
        then: "again" (it may heal), "slower" (the endpoint has too much to do), "skip" (this call will never be
            answered, others may be), "unstructured" (the endpoint takes no schema for its answers) or "stop" (no call
            will be answered).
        wait: seconds that the endpoint asked to wait, if it did, at most a minute.
        advice: what to do when it will not heal.
    """

    what: str
    then: Literal["again", "slower", "skip", "unstructured", "stop"]
    wait: float | None = None
    advice: str = ""


def failure_of(error: Exception, timeout: float, key: str | None = None) -> Failure:
    """What an error of the client library means.

    Args:
        error: one of openai's APIError family (litellm's errors belong to it), a timeout or a `BadReplyError`.
        timeout: in seconds, that the call had.
        key: of the API, which must not be told on: providers have been seen to repeat the key that they refuse.
    """

    def said(text: str) -> str:
        line = " ".join((text.replace(key, "[API key]") if key else text).split()).rstrip(".")
        return line if len(line) <= _LONGEST_MESSAGE else line[: _LONGEST_MESSAGE - 3] + "..."

    if isinstance(error, BadReplyError) and error.failure is not None:
        return error.failure
    if isinstance(error, (asyncio.TimeoutError, openai.APITimeoutError)):
        return Failure(f"no answer within {timeout:g} s", "again")
    if isinstance(error, openai.APIConnectionError):
        return Failure(said(f"connection failed: {error.__cause__ or error.message}"), "again")
    status = getattr(error, "status_code", None)
    if not isinstance(error, openai.APIError) or not isinstance(status, int):
        return Failure(said(str(error)), "again")

    message = message_in(error.body) or error.message
    what = said(f"HTTP {status}: {message}")
    headers: Mapping[str, str] = getattr(getattr(error, "response", None), "headers", {})
    wait = retry_after(headers)
    if _OUT_OF_CREDIT & {str(error.code), str(error.type)}:
        return Failure(what, "stop", advice=_PAY)
    if status in _SLOWER:
        return Failure(what, "slower", wait)
    if status in _AGAIN or status >= 500:
        return Failure(what, "again", wait)
    if error.code == "content_filter":
        return Failure(what, "skip", advice="The provider's content filter refuses this prompt.")
    request_refused = status in (400, 422)
    if status == 413 or (request_refused and (error.code == "context_length_exceeded" or _TOO_LONG.search(message))):
        return Failure(what, "skip", advice=_SHORTEN)
    if request_refused and _NO_SCHEMAS.search(f"{error.param} {message}"):
        return Failure(what, "unstructured", advice=_UNSTRUCTURED)
    return Failure(what, "stop", advice=_ADVICE.get(status, _CHECK_REQUEST))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a reply's headers ask to wait: `retry-after-ms`, or `Retry-After` in seconds or as a date.

    RFC 9110, section 10.2.3. Capped at a minute: a longer wait is for the user to decide on.
    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit
        except ValueError:
            continue
        if math.isfinite(seconds):
            return _within_bounds(seconds)
    try:
        date = email.utils.parsedate_to_datetime(headers.get("retry-after", ""))
        return _within_bounds(date.timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):  # no date either; older Pythons raise TypeError
        return None


def _within_bounds(seconds: float) -> float:
    return min(max(seconds, 0.0), _LONGEST_WAIT)


def message_in(body: Any) -> str:
    """The provider's own words in the body of an error reply; each has its own form."""
    if isinstance(body, str):
        return body
    if isinstance(body, list):  # Gemini
        return message_in(body[0]) if body else ""
    if isinstance(body, dict):  # {"error": {"message"}}; Ollama: {"error": "..."}; FastAPI: {"detail": "..."}
        return next((text for name in ("message", "error", "detail") if (text := message_in(body.get(name)))), "")
    return ""
