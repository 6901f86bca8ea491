"""Styles and scripts, served as they lie in `static/`, under addresses that change when they do."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from fastapi import APIRouter, Request, Response
from mos_protocol.errors import NotFound

router = APIRouter()

_FOREVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class _Asset:
    content: bytes
    packed: bytes
    media_type: str
    version: str


@cache
def _assets() -> dict[str, _Asset]:
    """Every file of `static/`, read once."""
    found = {}
    for item in files("mos_center.dashboard").joinpath("static").iterdir():
        content = item.read_bytes()
        media_type = mimetypes.guess_type(item.name)[0] or "application/octet-stream"
        version = hashlib.sha256(content).hexdigest()[:12]
        found[item.name] = _Asset(content, gzip.compress(content, mtime=0), media_type, version)
    return found


def asset_url(root: str, name: str) -> str:
    """The address of a file of `static/`."""
    return f"{root}/static/{name}?v={_assets()[name].version}"


@router.get("/static/{name}")
def static_file(name: str, request: Request) -> Response:
    """A file of `static/`; browsers keep it, as another content has another address."""
    asset = _assets().get(name)
    if asset is None:
        raise NotFound(f"There is no file {name!r}.", hint="Reload the page.")
    headers = {"Cache-Control": _FOREVER, "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return Response(asset.packed, media_type=asset.media_type, headers=headers)
    return Response(asset.content, media_type=asset.media_type, headers=headers)
