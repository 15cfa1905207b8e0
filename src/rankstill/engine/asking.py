"""LLM calls sent from workers: the ledger, the budget and the limit of calls at once stay with the driver.

Not a Ray Data pipeline, which hands results back by blocks: what to ask next depends on the last answer, and an answer
that is paid for must be in the ledger before anything else happens. So the one `ChatClient` decides when a call goes,
for all workers together, and tries again; a worker makes one HTTP request. What the endpoint refuses comes back to the
client's one limiter: a rate limit is kept across all workers because nobody else lets calls out.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rankstill.errors import RankstillError
from rankstill.progress import progress
from rankstill.teacher.calls import Call
from rankstill.teacher.client.endpoint import Endpoint, at_once_locally
from rankstill.teacher.client.failures import BadReplyError, Failure, TeacherError, failure_of
from rankstill.teacher.client.keys import Provider, read_key
from rankstill.teacher.client.local import LocalServer
from rankstill.teacher.client.transport import litellm_send, openai_client, openai_send

if TYPE_CHECKING:
    from rankstill.config import TeacherConfig
    from rankstill.engine.on_ray import RayEngine


@dataclass(frozen=True)
class CallTarget:
    """The endpoint that a worker sends calls to.

    Args:
        endpoint: base URL; empty for litellm's own.
        api_key_env: the environment variable, on the worker's machine, that holds the key: keys do not travel.
        timeout: the longest wait for a reply, in seconds.
        local_model: a GGUF file that the worker serves itself, in place of an endpoint.
        context: the model's context for one call, in tokens.
        at_once: calls that the local model answers at once.
    """

    endpoint: str
    api_key_env: str | None
    provider: Provider = "openai"
    timeout: float = 60.0
    local_model: str | None = None
    context: int = 4096
    at_once: int = 4


class CallWorkers:
    """Workers on a Ray cluster that send calls; a `Send` for a `ChatClient`. A context manager, which ends them.

    Entering it waits until every worker is there, with its model if it holds one: a call's time runs from when it is
    handed to a worker. One that dies later costs the calls that it was at, which the client sends anew as after a lost
    connection; Ray starts another one in its place.

    Raises:
        TeacherError: on entering: a worker has no key, no such model or not the package that it needs.
    """

    def __init__(self, place: CallTarget, workers: int, *, cpus: float = 1.0, gpus: float = 0.0) -> None:
        import ray

        # A call is never sent again behind the ledger's back: it may have been paid.
        options = {"max_restarts": -1, "max_task_retries": 0, "num_cpus": cpus, "num_gpus": gpus}
        actor = ray.remote(_Sender).options(max_concurrency=1000, **options)
        self._workers = [actor.remote(place) for _ in range(workers)]
        self._next = itertools.cycle(self._workers)

    async def __call__(self, call: Call) -> Any:
        """The JSON value of the reply; BadReplyError if the request failed, or its worker was lost."""
        import ray

        sent = next(self._next).send.remote(call)
        try:
            told = await sent
        except asyncio.CancelledError:
            ray.cancel(sent)  # or the worker would send it all the same, and it would be paid twice
            raise
        except ray.exceptions.RayActorError as error:
            told = Failure("the worker that sent the call was lost", "again")
            raise BadReplyError(told.what, told) from error
        if isinstance(told, Failure):
            raise BadReplyError(told.what, told)
        return told

    def __enter__(self) -> CallWorkers:
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        import ray

        for worker in self._workers:
            ray.kill(worker)

    def _wait(self) -> None:
        import ray

        waiting = [worker.ready.remote() for worker in self._workers]
        with progress("starting the workers that ask", len(waiting)) as advance:
            while waiting:
                (ready, *_), waiting = ray.wait(waiting)
                try:
                    refusal = ray.get(ready)
                except ray.exceptions.RayError as error:
                    last = str(error).strip().rpartition("\n")[2]
                    raise TeacherError(f"a worker that asks the LLM could not be started: {last}") from error
                if refusal is not None:
                    raise TeacherError(refusal.what)
                advance(1)


@contextmanager
def reach_by_workers(config: TeacherConfig, engine: RayEngine) -> Iterator[tuple[Endpoint, CallWorkers]]:
    """The teacher's endpoint, as `rankstill.teacher.client.endpoint.reach` has it, and the workers who ask it.

    Args:
        config: whom to ask. A local model is served by every worker, so it must be a file, or on the hub, for each.
    """
    local = config.kind == "local"
    place = CallTarget(
        endpoint=config.base_url() or "",
        api_key_env=config.key_name(),
        provider="litellm" if config.kind == "litellm" else "openai",
        timeout=config.timeout,
        local_model=config.model if local else None,
        context=config.context,
        at_once=at_once_locally(config),
    )
    at_once = place.at_once * engine.workers if local else config.concurrency
    with CallWorkers(place, engine.workers, cpus=engine.cpus, gpus=engine.gpus) as senders:
        yield Endpoint(place.endpoint, at_once), senders


class _Sender:
    """An actor: makes requests, and holds the local model if there is one."""

    def __init__(self, place: CallTarget) -> None:
        self._place, self._stack = place, ExitStack()
        self._refusal: Failure | None = None
        try:
            self._open(place, place.endpoint)
        except RankstillError as error:  # raised here, it would be told as the loss of a worker
            where = f"on {socket.gethostname()}, where a worker is to ask the LLM"
            self._refusal = Failure(f"{where}: {error}", "stop")

    def _open(self, place: CallTarget, endpoint: str) -> None:
        if place.local_model is not None:
            endpoint = self._stack.enter_context(LocalServer(place.local_model, place.context, place.at_once)).url
        self._key = read_key(endpoint, place.api_key_env, place.provider)
        if place.provider == "litellm":
            self._send = litellm_send(endpoint, self._key, place.timeout)
        else:
            self._send = openai_send(openai_client(endpoint, self._key, place.timeout))

    async def ready(self) -> Failure | None:
        """Why it cannot send; None if it can."""
        return self._refusal

    async def send(self, call: Call) -> Any:
        """The reply, or why there is none: openai's own errors cannot be sent from process to process."""
        import openai

        if self._refusal is not None:
            return self._refusal
        try:
            return await self._send(call)
        except (openai.APIError, BadReplyError) as error:
            return failure_of(error, self._place.timeout, self._key)
