"""Errors as the API tells them: plain words in OpenAI's shape, nothing of the request in them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse

from rankstill.errors import RankstillError
from rankstill.extras.serve.batching import BusyError
from rankstill.extras.serve.service import NoSystemError

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request

_STATUS: dict[type[RankstillError], int] = {BusyError: 503, NoSystemError: 404}
"""Of our own errors; of any other it is 500."""
_FIELD = re.compile(r"[a-z_]{1,40}")
_TOLD = {404: "There is nothing at this path. See /docs.", 405: "This path does not take that method."}


def problem(
    status: int, message: str, param: str | None = None, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """An error response."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    body = {"error": {"message": message, "type": kind, "param": param, "code": None}}
    return JSONResponse(body, status, headers=dict(headers or {}))


def tell_problems(app: FastAPI) -> None:
    """Have every error of the app told in this shape."""
    from fastapi.exceptions import RequestValidationError
    from starlette.exceptions import HTTPException

    async def invalid(_: Request, error: Any) -> JSONResponse:
        every = error.errors()
        # Of a choice between types, what fits one of them but for its content says more than what fits none.
        first = next((each for each in every if not each["type"].endswith("_type")), every[0])
        return problem(422, _plainly(first["type"], first["msg"], first["loc"]), _place(first["loc"]) or None)

    async def refused(_: Request, error: Any) -> JSONResponse:
        message = _TOLD.get(error.status_code, "The request cannot be read.")
        return problem(error.status_code, message, headers=error.headers)

    async def ours(_: Request, error: Any) -> JSONResponse:
        status = _STATUS.get(type(error), 500)
        return problem(status, str(error), headers={"retry-after": "1"} if status == 503 else None)

    async def broken(_: Request, __: Any) -> JSONResponse:
        return problem(500, "Something went wrong here; the server's log says what.")

    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(RankstillError, ours)
    app.add_exception_handler(Exception, broken)


def _plainly(kind: str, message: str, place: Sequence[Any]) -> str:
    where = _place(place)
    if kind == "extra_forbidden":
        return "There is a field that this request does not have. See /docs."
    if kind in ("json_invalid", "json_type"):
        return "The body is not valid JSON."
    told = message.removeprefix("Value error, ")
    return f"{where}: {told}." if where else f"{told}."


def _place(place: Sequence[Any]) -> str:
    """Where in the body the problem is: the field and list positions, but no name that a client made up."""
    field, *inner = map(str, place[1:]) if len(place) > 1 else ("",)
    return ".".join([field, *filter(str.isdigit, inner)]) if _FIELD.fullmatch(field) else ""
