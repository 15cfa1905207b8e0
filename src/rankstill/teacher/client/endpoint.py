"""Whom to ask: the configured endpoint, or a local server that is there as long as it is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rankstill.errors import RankstillError
from rankstill.teacher.client.local import LocalServer, find_gguf, identity

if TYPE_CHECKING:
    from rankstill.config import TeacherConfig
    from rankstill.teacher.client.transport import Send

    Reach = Callable[[TeacherConfig], AbstractContextManager["Endpoint"]]
    """Makes an endpoint ready to be asked, as `reach` does."""

_AT_ONCE_LOCALLY = 4


@dataclass(frozen=True)
class Endpoint:
    """The endpoint that calls go to.

    Args:
        url: base URL; empty for the one that litellm knows.
        concurrency: calls at once, at most.
        send: who makes the requests, such as workers elsewhere, who read the key where they are; None: this process.
    """

    url: str
    concurrency: int
    send: Send | None = None


def named(config: TeacherConfig) -> tuple[str, str]:
    """Endpoint and model as calls name them: the same from run to run, which a local server's port is not.

    Raises:
        RankstillError: there is no LLM to ask, for the rankings are recorded.
        ModelError: a local model cannot be found.
    """
    if config.kind == "recorded":
        raise RankstillError(
            "teacher.kind is recorded, so there is no LLM to ask. Set it to api, litellm or local, and teacher.model."
        )
    model = config.model or ""
    if config.kind != "local":
        return config.base_url() or config.kind, model
    return "local", identity(find_gguf(model))


def at_once_locally(config: TeacherConfig) -> int:
    """Calls that a local server works on at once: each takes its own share of memory for the context."""
    return min(config.concurrency, _AT_ONCE_LOCALLY)


@contextmanager
def reach(config: TeacherConfig) -> Iterator[Endpoint]:
    """The endpoint, ready to be asked.

    Raises:
        ModelError: a local model cannot be found or run.
    """
    if config.kind != "local":
        yield Endpoint(config.base_url() or "", config.concurrency)
        return
    at_once = at_once_locally(config)
    with LocalServer(config.model or "", config.context, at_once) as server:
        yield Endpoint(server.url, at_once)
