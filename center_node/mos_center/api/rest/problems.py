"""Every error as `application/problem+json` (RFC 9457)."""

from __future__ import annotations

import logging
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from mos_protocol.error_catalogue import CATALOGUE
from mos_protocol.errors import EDGES, InvalidRequest, MosError, NotFound
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from mos_center.domain.request_context import request_id

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"


class Problem(BaseModel):
    """What went wrong, and what to do about it."""

    type: str = Field(description="Where this center explains this kind of problem")
    title: str
    status: int
    detail: str
    code: str = Field(description="The kind of problem, for programs")
    hint: str = Field(description="What to do next")
    fields: dict[str, object] = Field(description="What the message is about")
    request_id: str = Field(description="Name it when you ask the operator: the log has it too")


class ProblemResponse(JSONResponse):
    media_type = MEDIA_TYPE


def problem_response(
    error: MosError, *, status: int | None = None, headers: dict[str, str] | None = None
) -> ProblemResponse:
    """The answer that tells of `error`."""
    edge = EDGES.get(error.code, EDGES[MosError.code])
    status = status or edge.http
    problem = Problem(
        type=f"/errors/{error.code if error.code in CATALOGUE else MosError.code}",
        title=CATALOGUE.get(error.code, CATALOGUE[MosError.code]).title,
        status=status,
        detail=error.message,
        code=error.code,
        hint=error.hint,
        fields={key: _plain(value) for key, value in error.fields.items()},
        request_id=request_id.get(),
    )
    return ProblemResponse(problem.model_dump(), status, _headers(error, status) | (headers or {}))


def _headers(error: MosError, status: int) -> dict[str, str]:
    headers = {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(wait := error.fields.get("retry_after"), int):
        headers["Retry-After"] = str(wait)
    return headers


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
        # A body that is no text at all is as invalid as any other.
        unreadable = error.status_code == HTTPStatus.BAD_REQUEST
        status = HTTPStatus.UNPROCESSABLE_ENTITY if unreadable else error.status_code
        return problem_response(told, status=status, headers=dict(error.headers or {}))

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
