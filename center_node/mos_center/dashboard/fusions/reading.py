"""Reading what was typed into a form's fields, keeping all that is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import partial
from typing import Any, TypeVar

from mos_protocol.errors import InvalidRequest, MosError
from mos_protocol.layer_map import Part

from mos_center.domain.models import Solver
from mos_center.domain.solving import Solving

T = TypeVar("T")
C = TypeVar("C", bound=StrEnum)


class Reading:
    """Reads fields, and keeps what is wrong with each."""

    def __init__(self) -> None:
        self.problems: dict[str, MosError] = {}

    def take(self, name: str, read: Callable[[], T], otherwise: Any) -> Any:
        """What `read` returns; `otherwise` stands in for what can't be read."""
        try:
            return read()
        except MosError as error:
            self.problems[name] = error
            return otherwise

    def number(self, name: str, text: str, kind: type[float] | type[int]) -> Any:
        """A number that a solver can take; None for an empty field."""
        return self.take(name, partial(_setting, name, None, text, kind), None) if text else None

    def by_part(
        self, name: str, texts: Mapping[Part, str], kind: type[float] | type[int]
    ) -> dict[Part, Any]:
        """The numbers of those parts whose field is not empty."""
        return {
            part: self.take(f"{name}.{part}", partial(_setting, name, part, text, kind), None)
            for part, text in texts.items()
            if text
        }


def _setting(name: str, part: Part | None, text: str, kind: type[float] | type[int]) -> object:
    """A number that `Solving` finds in its bounds."""
    value = number(text, kind)
    choice: dict[str, Any] = {name: value if part is None else {part: value}}
    Solving.of(Solver.LBFGS, **choice)
    return value


def number(text: str, kind: type[float] | type[int]) -> float | int:
    """The number that was typed, with a comma or a point; raises `InvalidRequest`."""
    try:
        return kind(text.replace(",", "."))
    except ValueError:
        example = "8" if kind is int else "0.8"
        raise InvalidRequest(
            f"{text!r} is no {'whole ' * (kind is int)}number.",
            hint=f"Write one such as {example}.",
        ) from None


def chosen(choices: type[C], name: str) -> C:
    """The choice of that name; raises `InvalidRequest`."""
    try:
        return choices(name)
    except ValueError:
        raise InvalidRequest(
            f"There is no {name!r} to choose.", hint=f"Choose {', '.join(choices)}."
        ) from None
