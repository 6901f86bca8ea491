"""Sending blobs: whole or in ranges, cacheable for ever."""

from __future__ import annotations

from typing import Any

from fastapi import Request, Response
from fastapi.responses import FileResponse
from mos_protocol.names import Digest

from mos_center.domain.ports import BlobStore

_FOREVER = "private, max-age=31536000, immutable"
FILE_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The whole file", "content": {"application/octet-stream": {}}},
    206: {"description": "The range asked for", "content": {"application/octet-stream": {}}},
    304: {"description": "The caller has it already"},
    400: {"description": "A malformed range", "content": {"text/plain": {}}},
    416: {"description": "A range beyond the file's end", "content": {"text/plain": {}}},
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
        return FileResponse(path, headers=headers, media_type=media_type)
