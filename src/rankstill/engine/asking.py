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
from typing import TYPE_CHECKING, Any

from rankstill.errors import RankstillError
from rankstill.progress import progress
from rankstill.teacher.calls import Call
from rankstill.teacher.client.endpoint import Endpoint, at_once_locally, reach
from rankstill.teacher.client.failures import BadReplyError, Failure, TeacherError, failure_of
from rankstill.teacher.client.keys import read_key
from rankstill.teacher.client.transport import sender

if TYPE_CHECKING:
    from rankstill.config import TeacherConfig
    from rankstill.engine.on_ray import RayEngine


class CallWorkers:
    """Workers on a Ray cluster that send calls; a `Send` for a `ChatClient`. A context manager, which ends them.

    Entering it waits until every worker is there, with its model if it holds one: a call's time runs from when it is
    handed to a worker. One that dies later costs the calls that it was at, which the client sends anew as after a lost
    connection; Ray starts another one in its place.

    Args:
        config: whom to ask. Each worker reads the key on its own machine: keys do not travel.

    Raises:
        TeacherError: on entering: a worker has no key, no such model or not the package that it needs.
    """

    def __init__(self, config: TeacherConfig, workers: int, *, cpus: float = 1.0, gpus: float = 0.0) -> None:
        import ray

        # A call is never sent again behind the ledger's back: it may have been paid.
        options = {"max_restarts": -1, "max_task_retries": 0, "num_cpus": cpus, "num_gpus": gpus}
        actor = ray.remote(_Sender).options(max_concurrency=1000, **options)
        self._workers = [actor.remote(config) for _ in range(workers)]
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
def reach_by_workers(config: TeacherConfig, engine: RayEngine) -> Iterator[Endpoint]:
    """The teacher's endpoint, as `rankstill.teacher.client.endpoint.reach` has it, with the workers who ask it.

    Args:
        config: whom to ask. A local model is served by every worker, so it must be a file, or on the hub, for each.
    """
    at_once = at_once_locally(config) * engine.workers if config.kind == "local" else config.concurrency
    with CallWorkers(config, engine.workers, cpus=engine.cpus, gpus=engine.gpus) as workers:
        yield Endpoint(config.base_url() or "", at_once, workers)


class _Sender:
    """An actor: makes requests, and holds the local model if there is one."""

    def __init__(self, config: TeacherConfig) -> None:
        self._timeout, self._stack = config.timeout, ExitStack()
        self._refusal: Failure | None = None
        try:
            url = self._stack.enter_context(reach(config)).url
            self._key = read_key(config, url)
            self._send, _ = sender(config, url, self._key)
        except RankstillError as error:  # raised here, it would be told as the loss of a worker
            where = f"on {socket.gethostname()}, where a worker is to ask the LLM"
            self._refusal = Failure(f"{where}: {error}", "stop")

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
            return failure_of(error, self._timeout, self._key)
