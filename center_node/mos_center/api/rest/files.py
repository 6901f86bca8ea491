"""Sending blobs: whole or in ranges, cacheable for ever."""

from __future__ import annotations

from typing import Any

from fastapi import Request, Response
from fastapi.responses import FileResponse
from mos_protocol.errors import InvalidRequest
from mos_protocol.names import Digest
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from mos_center.api.rest.problems import Problem, ProblemResponse, problem_response
from mos_center.domain.ports import BlobStore

_FOREVER = "private, max-age=31536000, immutable"
FILE_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The whole file", "content": {"application/octet-stream": {}}},
    206: {"description": "The range asked for", "content": {"application/octet-stream": {}}},
    304: {"description": "The caller has it already"},
    400: {"model": Problem, "description": "A malformed range"},
    416: {"model": Problem, "description": "A range beyond the file's end"},
}


def blob_response(
    request: Request, blobs: BlobStore, digest: Digest, media_type: str, *, fixed: bool
) -> Response:
    """Answer with a blob; its ETag is its sha256. `fixed`: the address always means this blob."""
    headers = {
        "ETag": f'"{digest}"',
        "Cache-Control": _FOREVER if fixed else "private, no-cache",
        "X-Content-Type-Options": "nosniff",
    }
    if digest in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    with blobs.local_path(digest) as path:
        return _BlobResponse(path, headers=headers, media_type=media_type)


class _BlobResponse(FileResponse):
    """A file response that refuses wrong ranges with a problem instead of plain text."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal: Message | None = None

        async def translated(message: Message) -> None:
            nonlocal refusal
            if message["type"] == "http.response.start" and message["status"] in (400, 416):
                refusal = message
            elif refusal is None:
                await send(message)
            else:
                await _range_problem(refusal)(scope, receive, send)

        await super().__call__(scope, receive, translated)


def _range_problem(refusal: Message) -> ProblemResponse:
    limits = Headers(raw=refusal["headers"]).get("content-range")
    return problem_response(
        InvalidRequest("The range can't be sent.", hint="Ask for a part of the file's bytes."),
        status=refusal["status"],
        headers={"Content-Range": limits} if limits else None,
    )
