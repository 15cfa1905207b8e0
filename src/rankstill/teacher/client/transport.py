"""One HTTP request for one call: by the `openai` library, or by `litellm` for what speaks another protocol."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import openai

from rankstill.packages import required
from rankstill.teacher.calls import Answer, Call
from rankstill.teacher.client.failures import BadReplyError, TeacherError, message_in, not_json

if TYPE_CHECKING:
    from rankstill.config import TeacherConfig

Send = Callable[[Call], Awaitable[Any]]
"""Sends a call once and returns the JSON value of the reply."""

_BYTES_A_TOKEN = 4
"""For English text and byte-pair encodings, roughly; used only where an endpoint does not count."""

_UNSEEN_TOKENS = 200_000
"""Tokens by which a count may exceed the bytes of a text: reasoning that is not shown, a gateway's own prompt."""

INSTEAD = {
    "response_format": "continuing with plain text",
    "max_tokens": "continuing with max_completion_tokens",
    "temperature": "continuing with the model's own",
}
"""What the calls are then asked with, for people."""


def is_loopback(endpoint: str) -> bool:
    """Whether the endpoint is on this machine."""
    host = urlsplit(endpoint).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def openai_client(endpoint: str, key: str | None, timeout: float) -> openai.AsyncOpenAI:
    """A client of an OpenAI-compatible endpoint whose every request is one of ours: it does not retry by itself.

    Args:
        key: the key of the API; None sends a placeholder, for servers that want none.
        timeout: the longest wait for a reply, in seconds.
    """
    # A proxy for the outside world does not lead to this machine.
    direct = openai.DefaultAsyncHttpxClient(trust_env=False) if is_loopback(endpoint) else None
    return openai.AsyncOpenAI(
        base_url=endpoint, api_key=key or "no-key-needed", timeout=timeout, max_retries=0, http_client=direct
    )


def sender(config: TeacherConfig, endpoint: str, key: str | None) -> tuple[Send, openai.AsyncOpenAI | None]:
    """What sends calls to an endpoint, and the client that is to be closed afterwards, if there is one.

    Args:
        endpoint: base URL; for litellm, empty for the one it knows.
        key: the key of the API; None where none is needed, or where litellm is to find it.

    Raises:
        TeacherError: litellm is not installed.
    """
    if config.kind == "litellm":
        return _litellm_send(endpoint, key, config.timeout), None
    client = openai_client(endpoint, key, config.timeout)
    return _openai_send(client), client


def _openai_send(client: openai.AsyncOpenAI) -> Send:
    """Sends calls by this client. The call's parameters go into the request's body as they are."""

    async def send(call: Call) -> Any:
        # Not chat.completions.create, which takes as long again to check every message against its schema.
        body = {"model": call.model, "messages": call.messages, **call.parameters}
        try:
            reply = await client.post("/chat/completions", cast_to=object, body=body)
            # The library reads JSON only where the reply's content type says so, which some servers leave out.
            return json.loads(reply) if isinstance(reply, str) else reply
        except ValueError as error:
            raise not_json(getattr(error, "doc", ""), str(error)) from error

    return send


def _litellm_send(endpoint: str, key: str | None, timeout: float) -> Send:
    """Sends calls by litellm, which finds the keys of its many providers in the environment itself."""
    litellm = required("litellm", "litellm", "teacher.kind: litellm", TeacherError)

    async def send(call: Call) -> Any:
        reply = await litellm.acompletion(
            model=call.model,
            messages=list(call.messages),
            api_base=endpoint or None,
            api_key=key,
            timeout=timeout,
            num_retries=0,
            max_retries=0,
            **call.parameters,
        )
        return reply.model_dump()

    return send


def answer_in(reply: Any, call: Call, seconds: float) -> Answer:
    """The answer that a reply holds, with token counts estimated where the endpoint gives none that can be true.

    Args:
        reply: the JSON value of a chat completion.

    Raises:
        BadReplyError: it is no chat completion, an error sent with a good status, or empty for no reason.
    """
    try:
        choice = reply["choices"][0]
        fault = reply.get("error") or choice.get("error")
        if fault or choice.get("finish_reason") == "error":
            raise BadReplyError(f"the answer ended in an error: {message_in(fault) or 'the reply does not say which'}")
        message = choice["message"]
        text = _text_of(message.get("content")) or message.get("refusal") or ""
    except (TypeError, KeyError, IndexError, AttributeError) as error:
        said = message_in(reply) or json.dumps(reply)
        raise BadReplyError(f"the reply is no chat completion: {said}") from error
    if not isinstance(text, str):
        raise BadReplyError("the reply's content is not text")
    # Half an emoji, from an answer cut between two escapes, cannot be stored.
    text = text.encode("utf-8", "replace").decode("utf-8")
    usage = reply.get("usage")
    finish = choice.get("finish_reason")
    asked = "".join(each["content"] for each in call.messages)
    tokens_in, tokens_out = _count(usage, "prompt_tokens", asked), _count(usage, "completion_tokens", text)
    answer = Answer(
        text=text,
        tokens_in=_estimate(asked) if tokens_in is None else tokens_in,
        tokens_out=_estimate(text) if tokens_out is None else tokens_out,
        seconds=seconds,
        finish=finish if isinstance(finish, str) else None,
        counted=tokens_in is not None,
    )
    if answer.is_fault:
        raise BadReplyError(f"the reply is empty (finish_reason: {finish})")
    return answer


def _text_of(content: Any) -> Any:
    """Content as one text: some models that reason send it in parts, of which the reasoning is no answer."""
    if not isinstance(content, list):
        return content
    return "".join(part["text"] for part in content if part.get("type", "text") == "text")


def _count(usage: Any, name: str, text: str) -> int | None:
    """Tokens of the text that the endpoint counted; None where it does not say, or says what cannot be."""
    counted = usage.get(name) if isinstance(usage, dict) else None
    if isinstance(counted, float) and counted.is_integer():
        counted = int(counted)
    if type(counted) is not int or not 0 <= counted <= _bytes(text) + _UNSEEN_TOKENS:
        return None
    return counted


def _estimate(text: str) -> int:
    return -(-_bytes(text) // _BYTES_A_TOKEN)


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


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
