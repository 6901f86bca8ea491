"""Sending blobs, whole or in ranges: from here, or by naming where the store gives them out."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import Any

from fastapi import Request, Response
from fastapi.responses import FileResponse, RedirectResponse
from mos_protocol.errors import InvalidRequest
from mos_protocol.names import Digest
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from mos_center.api.rest.problems import Problem, ProblemResponse, problem_response
from mos_center.domain.ports import BlobStore

_FOREVER = "private, max-age=31536000, immutable"
FILE_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The whole file", "content": {"*/*": {}}},
    206: {"description": "The range asked for", "content": {"*/*": {}}},
    304: {"description": "The caller has it already"},
    307: {"description": "The file is at this address, for a while and without a token"},
    400: {"model": Problem, "description": "A malformed range"},
    416: {"model": Problem, "description": "A range beyond the file's end"},
}


def blob_response(
    request: Request, blobs: BlobStore, digest: Digest, media_type: str, *, fixed: bool
) -> Response:
    """Answer with a blob, or with where the store gives it out; its ETag is its sha256.

    `fixed`: the address always means this blob.
    """
    headers = {
        "ETag": f'"{digest}"',
        "Cache-Control": _FOREVER if fixed else "private, no-cache",
        "X-Content-Type-Options": "nosniff",
    }
    if digest in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    name = PurePosixPath(request.url.path).name
    if request.method != "HEAD" and (url := blobs.presigned_get(digest, name, media_type)):
        # The address runs out: nobody may keep this answer.
        return RedirectResponse(url, headers=headers | {"Cache-Control": "no-store"})
    with ExitStack() as held:
        path = held.enter_context(blobs.local_path(digest))
        return _BlobResponse(path, held.pop_all(), headers=headers, media_type=media_type)


class _BlobResponse(FileResponse):
    """A file response that refuses wrong ranges with a problem instead of plain text.

    held: what keeps the file where it is; closed when it was sent.
    """

    def __init__(self, path: Path, held: ExitStack, **options: Any) -> None:
        super().__init__(path, **options)
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._held:
            await self._send(scope, receive, send)

    async def _send(self, scope: Scope, receive: Receive, send: Send) -> None:
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
