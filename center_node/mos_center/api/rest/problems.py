"""Every error as `application/problem+json` (RFC 9457)."""

from __future__ import annotations

import logging
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from mos_protocol.errors import EDGES, InvalidRequest, MosError, NotFound
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"


class Problem(BaseModel):
    """What went wrong, and what to do about it."""

    type: str = Field(description="A stable name of the kind of problem, as a URN")
    title: str
    status: int
    detail: str
    code: str = Field(description="The kind of problem, for programs")
    hint: str = Field(description="What to do next")
    fields: dict[str, object] = Field(description="What the message is about")


class ProblemResponse(JSONResponse):
    media_type = MEDIA_TYPE


def problem_response(
    error: MosError, *, status: int | None = None, headers: dict[str, str] | None = None
) -> ProblemResponse:
    """The answer that tells of `error`."""
    edge = EDGES.get(error.code, EDGES[MosError.code])
    status = status or edge.http
    problem = Problem(
        type=f"urn:mos:problem:{error.code}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=error.message,
        code=error.code,
        hint=error.hint,
        fields={key: _plain(value) for key, value in error.fields.items()},
    )
    if status == HTTPStatus.UNAUTHORIZED:
        headers = {"WWW-Authenticate": "Bearer", **(headers or {})}
    return ProblemResponse(problem.model_dump(), status, headers)


def install_handlers(app: FastAPI) -> None:
    """Have every error of the app answered as a problem."""

    @app.exception_handler(MosError)
    async def on_mos_error(request: Request, error: MosError) -> ProblemResponse:
        return problem_response(error)

    @app.exception_handler(RequestValidationError)
    async def on_validation(request: Request, error: RequestValidationError) -> ProblemResponse:
        return problem_response(_invalid(error))

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> ProblemResponse:
        missing = error.status_code == HTTPStatus.NOT_FOUND
        kind = NotFound if missing else InvalidRequest
        told = kind(
            f"{request.method} {request.url.path}: {error.detail}.",
            hint="GET /openapi.json lists every route.",
        )
        return problem_response(told, status=error.status_code, headers=dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def on_bug(request: Request, error: Exception) -> ProblemResponse:
        log.error("http.failed path=%s", request.url.path, exc_info=error)
        return problem_response(
            MosError("The center failed to answer.", hint="Its log says why; try again later.")
        )


def _invalid(error: RequestValidationError) -> InvalidRequest:
    problems = [
        {"where": ".".join(str(key) for key in item["loc"]), "problem": item["msg"]}
        for item in error.errors()[:20]
    ]
    told = "; ".join(f"{item['where']}: {item['problem']}" for item in problems)
    return InvalidRequest(
        f"The request is not valid: {told}.",
        hint="GET /openapi.json describes what is expected.",
        problems=problems,
    )


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float | bool | list | dict) else str(value)
