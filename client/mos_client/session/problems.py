"""What an HTTP reply says went wrong."""

from __future__ import annotations

from typing import Any

import httpx
from mos_protocol.errors import EDGES, MosError, Unavailable, error_class, rebuild

from mos_client.session.request_id import REQUEST_ID, with_request_id


def store_problem(response: httpx.Response) -> Unavailable:
    """What went wrong at the store's address of a file, to which the center had sent us."""
    # A signed address runs out after a while; asking the center again brings a fresh one.
    return Unavailable(
        f"The center's file store at {response.url.host} answered {response.status_code}.",
        hint="Run the same command again: what arrived is not sent again.",
    )


def problem_of(response: httpx.Response) -> MosError:
    """The error that an HTTP reply tells: its problem+json, or what its status means."""
    try:
        body = response.json()
    except ValueError:
        body = {}
    if isinstance(body, dict) and isinstance(body.get("code"), str):
        fields = body.get("fields")
        told = rebuild(
            body["code"],
            str(body.get("detail") or body.get("title") or body["code"]),
            hint=str(body.get("hint") or ""),
            fields=_pause(response) | (fields if isinstance(fields, dict) else {}),
        )
        return with_request_id(told, response.headers.get(REQUEST_ID, ""))
    status = response.status_code
    message = f"{response.request.url} answered {status} {response.reason_phrase}."
    return error_class(_CODES.get(status, _family(status)))(message, **_pause(response))


def _pause(response: httpx.Response) -> dict[str, Any]:
    asked = response.headers.get("retry-after", "")
    return {"retry_after": int(asked)} if asked.isascii() and asked.isdigit() else {}


def _family(status: int) -> str:
    return "unavailable" if status in (502, 504) else "internal"


_CODES: dict[int, str] = {}
for _code, _edge in EDGES.items():
    _CODES.setdefault(_edge.http, _code)
