"""The token in an `Authorization` header or metadata entry."""

from __future__ import annotations


def bearer_token(header: str | None) -> str | None:
    """The token of an `Authorization: Bearer …` value, or None."""
    scheme, _, token = (header or "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None
