"""One page of a long list, read by key: what follows the last item that was shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Generic, TypeVar

from fastapi import Path, Query

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)

# What comes in an address: databases take no NUL in a text.
Text = Annotated[str, Query(max_length=200, pattern=r"^[^\x00]*$")]
Name = Annotated[str, Path(max_length=200, pattern=r"^[^\x00]*$")]
Version = Annotated[int, Path(ge=1, lt=1 << 31)]
Key = Annotated[str, Query(max_length=200, pattern=r"^[A-Za-z0-9._/@-]*$")]


@dataclass(frozen=True)
class Listing(Generic[T]):
    """Items of a page, and the key that the next page begins after; "" when this is the last."""

    items: Sequence[T]
    next_key: str


def listed(find: Callable[[int], Sequence[T]], key: Callable[[T], object], size: int) -> Listing[T]:
    """Read one item more than is shown, to know whether there is a next page."""
    found = find(size + 1)
    shown = found[:size]
    return Listing(shown, str(key(shown[-1])) if len(found) > size else "")


def one_of(kind: type[E], value: str) -> E | None:
    """One of a kind; None for "", and for what an old address may still hold."""
    return kind(value) if value in {one.value for one in kind} else None
