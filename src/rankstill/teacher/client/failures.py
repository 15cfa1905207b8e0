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
# Of a refusal, in the words of OpenAI, Anthropic, Bedrock, Gemini, Mistral, vLLM, SGLang, TGI, llama.cpp and others.
_TOO_LONG = re.compile(
    r"context.?(length|size|window|limit)|maximum context|max_model_len|n_ctx"
    r"|\b(prompt|inputs?|messages?|request|sequence)\b.{0,20}\btoo (long|large|big)\b"
    r"|too many (input |prompt )?tokens|maximum number of (input )?tokens|tokens?\b.{0,20}\bcannot exceed"
    r"|inputs?`? tokens.{0,30}must be (<|less)|must have (less|fewer) than \d+ tokens|range of input length"
    r"|maximum (prompt|input|model|sequence) length|reduce the length"
    r"|(exceeds?|longer than|greater than) .{0,30}\bmax(imum)?\b.{0,20}\b(length|tokens)",
    re.IGNORECASE | re.DOTALL,
)
_TOO_LARGE_AT_ONCE = re.compile(r"request too large|tokens must be reduced", re.IGNORECASE)
"""A 429 that no waiting heals: this one request takes more than a minute's tokens."""
_FILTERED = re.compile(r"moderation|flagged|content.?(policy|filter|management)|guardrail", re.IGNORECASE)
_NO_CREDIT = re.compile(r"credit balance|insufficient.(balance|credits?|funds|quota)|billing", re.IGNORECASE)

_UNKNOWN = (
    r"(unsupported|not supported|(does|do) not support|unknown|unrecogni[sz]ed|unexpected|deprecated|not permitted"
    r"|not allowed|only the default)"
)


def _not_taken(name: str) -> str:
    return rf"\b{name}\b.{{0,80}}{_UNKNOWN}|{_UNKNOWN}.{{0,80}}\b{name}\b"


# Of the parameters that we send, each with the words of an endpoint that does not take it.
_REFUSED_PARAMETERS = {
    "response_format": r"response.?format|json.?schema",
    "max_tokens": rf"max_tokens\b.{{0,200}}\bmax_completion_tokens|{_not_taken('max_tokens')}",
    # TGI takes no 0; the other words are OpenAI's and Anthropic's for models that reason.
    "temperature": rf"\btemperature\b.{{0,20}}must be (strictly )?(positive|greater)|{_not_taken('temperature')}",
}

_STREAM = re.compile(r"(data|event|id|retry)?:|\{[^\n]*\}\r?\n\s*\{")
"""How server-sent events begin, or one JSON value a line."""

_PAY = "Add credit or raise the account's limit, and run the same command again: what is done is kept."
_SHORTEN = "The prompt is too long for this model: show fewer passages at once, or cut them shorter."
_CHECK_REQUEST = "The endpoint does not accept this request: check the teacher's model and parameters."
_CHECK_ADDRESS = "Check the endpoint (its address often ends in /v1)"
_WITHOUT = {
    "response_format": (
        "If the endpoint takes no JSON schemas, set teacher.structured: false, without response_format in parameters."
    ),
    "max_tokens": "Set teacher.parameters: {max_tokens: null, max_completion_tokens: 512}, or as many as answers need.",
    "temperature": "Set teacher.parameters: {temperature: null}.",
}
_ADVICE = {
    401: "Check the API key.",
    402: _PAY,
    403: "Check that the API key may use this model, and from here.",
    404: f"{_CHECK_ADDRESS} and the name of the model.",
    405: f"{_CHECK_ADDRESS}.",
}


Then = Literal["again", "slower", "skip", "shorten", "unclear", "adapt", "astray", "stop"]
"""What follows from a failure; see `Failure`."""

REFUSED = {"skip", "shorten", "unclear", "adapt"}
"""The endpoint will not take this request: to ask the same again is of no use."""


class TeacherError(RankstillError):
    """An endpoint that cannot be asked: no call would fare better."""


class CallFailed(TeacherError):  # noqa: N818 - what happened, not a mistake of the user's
    """A call without an answer; other calls may fare better.

    Args:
        then: what follows from its last failure; "again" for one that was given up after as many tries as allowed.
    """

    def __init__(self, message: str, then: Then = "again") -> None:
        super().__init__(message)
        self.then = then
        self.refused = then in REFUSED


class BadReplyError(Exception):
    """A reply with a good status that holds no answer: cut short, not JSON, or an error in disguise."""

    def __init__(self, message: str, failure: Failure | None = None) -> None:
        super().__init__(message)
        self.failure = failure
        """What it means, if whoever raised it knows."""


@dataclass(frozen=True)
class Failure:
    """Why a try failed.

    Args:
        what: one line: the status and the provider's own message.
        then: "again" (it may heal), "slower" (the endpoint has too much to do), "skip" (this call will never be
            answered, others may be), "shorten" (its prompt is too long), "unclear" (this request is refused, and
            whether others would be is not said), "adapt" (the endpoint does not take `parameter`), "astray" (whoever
            replied is no such API: the address is wrong, or a page stands in its place for now) or "stop" (no call
            will be answered).
        wait: seconds that the endpoint asked to wait, if it did, at most a minute.
        advice: what to do when it will not heal.
        parameter: of the request, that is not taken: response_format, max_tokens or temperature.
    """

    what: str
    then: Then
    wait: float | None = None
    advice: str = ""
    parameter: str | None = None


def failure_of(error: Exception, timeout: float, key: str | None = None) -> Failure:
    """What an error of the client library means.

    Args:
        error: one of openai's APIError family (litellm's errors belong to it), a timeout or a `BadReplyError`.
        key: the key of the API, which must not be told on: providers have been seen to repeat the key that they refuse.
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
    too_long = error.code == "context_length_exceeded" or _TOO_LONG.search(message)
    if status == 413 or (status == 429 and _TOO_LARGE_AT_ONCE.search(message)):
        return Failure(what, "shorten", advice=_SHORTEN)
    if status in _SLOWER:
        return Failure(what, "slower", wait)
    if status in _AGAIN or (status >= 500 and not too_long):
        return Failure(what, "again", wait)
    if status not in (400, 403, 422) and status < 500:
        return Failure(what, "stop", advice=_ADVICE.get(status, _CHECK_REQUEST))
    if error.code == "content_filter" or _FILTERED.search(message):
        return Failure(what, "skip", advice="The provider's content filter refuses this prompt.")
    if _NO_CREDIT.search(message):
        return Failure(what, "stop", advice=_PAY)
    if status == 403:
        return Failure(what, "stop", advice=_ADVICE[status])
    if too_long:
        return Failure(what, "shorten", advice=_SHORTEN)
    named = f"{error.param} {message}"
    for parameter, words in _REFUSED_PARAMETERS.items():
        if re.search(words, named, re.IGNORECASE | re.DOTALL):
            return Failure(what, "adapt", advice=_WITHOUT[parameter], parameter=parameter)
    return Failure(what, "unclear", advice=_CHECK_REQUEST)


def not_json(text: str, problem: str) -> BadReplyError:
    """What to make of a reply with a good status that is no JSON value."""
    start = text.lstrip("\ufeff \t\r\n")
    if start.startswith("<"):
        what = "the reply is a web page, not JSON"
    elif _STREAM.match(start):
        what = "the reply is an event stream, not one JSON value"
    else:
        return BadReplyError(f"the reply is cut short or not JSON ({problem})")
    return BadReplyError(what, Failure(what, "astray", advice=f"{_CHECK_ADDRESS}: it must be one of an OpenAI API."))


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
        names = ("message", "error", "detail", "msg")
        said = next((text for name in names if (text := message_in(body.get(name)))), "")
        place = body.get("loc")  # FastAPI: {"detail": [{"msg": "...", "loc": ["body", "max_tokens"]}]}
        return f"{said} ({'.'.join(map(str, place))})" if said and isinstance(place, list) else said
    return ""
