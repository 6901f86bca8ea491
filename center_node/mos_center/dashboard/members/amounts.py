"""Numbers that people type into forms."""

from __future__ import annotations

import math

from mos_protocol.errors import InvalidRequest

from mos_center.dashboard.visitor import Fields

GIGABYTE = 10**9


def in_gigabytes(count: int | None) -> str:
    """Bytes as a field shows them that is read as gigabytes: every byte of them; "" for none."""
    return "" if count is None else f"{count / GIGABYTE:.9f}".rstrip("0").rstrip(".")


def amount(fields: Fields, name: str, *, most: float) -> float | None:
    """The number in a field, None when it is empty; raises `InvalidRequest` for anything else.

    It is at least 0 and at most `most`.
    """
    text = fields.text(name, most=40)
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= most:
        raise InvalidRequest(
            f"{name.replace('_', ' ').capitalize()} can't be {text!r}.",
            hint=f"Write a number from 0 to {most:,.0f}, or nothing.",
        )
    return value


def whole(fields: Fields, name: str, *, most: int) -> int | None:
    """As `amount`, without a fraction."""
    value = amount(fields, name, most=most)
    if value is not None and value != int(value):
        raise InvalidRequest(
            f"{name.replace('_', ' ').capitalize()} can't be {value}.",
            hint="Write a whole number, or nothing.",
        )
    return None if value is None else int(value)
