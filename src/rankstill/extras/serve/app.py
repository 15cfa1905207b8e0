"""The web application: the API's paths, the page's files, the guard before both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse
from starlette.staticfiles import StaticFiles

from rankstill.extras.serve.api import routes
from rankstill.extras.serve.batching import Limits
from rankstill.extras.serve.guard import Guard
from rankstill.extras.serve.problems import tell_problems
from rankstill.extras.serve.reference import reference_page
from rankstill.extras.serve.service import Service
from rankstill.extras.serve.votes import Votes

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from rankstill.extras.serve.reading import ServedWorkspace

LOOPBACK = ("127.0.0.1", "localhost", "::1")
LARGEST_BODY = 8 * 1024 * 1024
_PAGE = Path(__file__).parent / "page"


def create_app(
    opened: ServedWorkspace,
    *,
    hosts: Collection[str] = LOOPBACK,
    limits: Limits | None = None,
    largest_body: int = LARGEST_BODY,
) -> ASGIApp:
    """The page and the API of an opened workspace, for any ASGI server.

    Args:
        opened: what is served, from `rankstill.extras.serve.reading.open_workspace`.
        hosts: names under which the server may be addressed, without ports.
        limits: the limits of batching and of what may wait.
        largest_body: bytes of a request's body.

    Raises:
        RankstillError: the workspace's votes cannot be read.
    """
    service = Service(opened, limits or Limits())
    votes = Votes(opened.workspace.folder, opened.dataset, opened.workspace.fingerprints()["retriever"])

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        yield
        service.close()

    app = FastAPI(
        title="Rankstill",
        version="1",
        description="A distilled retriever, and the other systems of its run: search, reranking and embeddings.",
        lifespan=lifespan,
        # Their pages load scripts from elsewhere; ours is at /docs.
        docs_url=None,
        redoc_url=None,
    )
    tell_problems(app)
    app.include_router(routes(service, votes))
    app.mount("/page", StaticFiles(directory=_PAGE))
    app.get("/", include_in_schema=False)(_index)

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        address = f"{request.url.scheme}://{request.url.netloc}"
        return HTMLResponse(reference_page(app.openapi(), address))

    _document_dimensions(app, opened.after.passages.shape[1])  # last: another path has the document made anew
    return Guard(app, hosts, largest_body)


async def _index() -> FileResponse:
    return FileResponse(_PAGE / "index.html")


def _document_dimensions(app: FastAPI, own: int) -> None:
    """Have the OpenAPI document say which number of dimensions can be had: that is known only now."""
    request = app.openapi()["components"]["schemas"]["EmbeddingsRequest"]
    request["properties"]["dimensions"]["anyOf"] = [{"const": own}, {"type": "null"}]
