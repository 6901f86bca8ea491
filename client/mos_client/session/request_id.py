"""The id that all requests of one command carry; the center's log lines have it too."""

from __future__ import annotations

import secrets

from mos_protocol.errors import MosError, rebuild

REQUEST_ID = "x-request-id"


def new_request_id() -> str:
    """Return an id that no other command has."""
    return secrets.token_hex(16)


def with_request_id(error: MosError, identifier: str) -> MosError:
    """The same error; one that only the center's operator can explain names the request."""
    if error.code != MosError.code or not identifier:
        return error
    hint = f"Tell its operator the request's id: {identifier}."
    return rebuild(error.code, error.message, hint=hint, fields=error.fields)
