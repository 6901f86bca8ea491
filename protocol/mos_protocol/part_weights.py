"""Numbers given for each part of the model, above all how much of a concept a fusion takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Self, TypeVar

from mos_protocol.errors import InvalidRequest
from mos_protocol.parts import Part

Number = TypeVar("Number", int, float)

_LARGEST = 1e300
_PARTS = f"the parts are {', '.join(Part)}"
_WEIGHT_HINT = f"Give a number, or an object of numbers by part; {_PARTS}, each 1 unless given."


@dataclass(frozen=True)
class PartWeights:
    """What a concept's change is multiplied with in each part; 1 is the concept as tuned.

    Raises `InvalidRequest` when a weight is not a finite number.
    """

    text_encoder: float = 1.0
    cross_kv: float = 1.0
    spatial: float = 1.0

    def __post_init__(self) -> None:
        for part in Part:
            object.__setattr__(self, part.value, _finite(part, self.of(part)))

    @classmethod
    def uniform(cls, value: float) -> Self:
        """The same weight in every part."""
        return cls(value, value, value)

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read a number, or an object of numbers by part name; raises `InvalidRequest`."""
        if not isinstance(value, Mapping):
            return cls.uniform(_finite("the concept", value))
        unknown = [key for key in value if key not in set(Part)]
        if unknown:
            raise InvalidRequest(f"A weight is given for {unknown[0]!r}.", hint=_WEIGHT_HINT)
        return cls(**{str(part): number for part, number in value.items()})

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `0.8` or `text_encoder=0.5,cross_kv=1`; raises `InvalidRequest`."""
        return cls.from_json(numbers_by_part([text], float, "weight"))

    def of(self, part: Part) -> float:
        """The weight in `part`."""
        value: float = getattr(self, part.value)
        return value

    @property
    def is_uniform(self) -> bool:
        """Whether all parts have the same weight."""
        return self.text_encoder == self.cross_kv == self.spatial

    def to_json(self) -> float | dict[str, float]:
        """A number when all parts agree, else numbers by part name."""
        if self.is_uniform:
            return self.text_encoder
        return {part.value: self.of(part) for part in Part}

    def __str__(self) -> str:
        if self.is_uniform:
            return f"{self.text_encoder:g}"
        return ",".join(f"{part}={self.of(part):g}" for part in Part)


def numbers_by_part(
    texts: Iterable[str], number: Callable[[str], Number], what: str
) -> dict[Part, Number]:
    """Read options such as `0.8` (every part) and `text_encoder=0.5,spatial=1`, in their order.

    Raises `InvalidRequest`, which calls the option `what`.
    """
    found: dict[Part, Number] = {}
    for text in texts:
        for item in text.split(","):
            part, equals, value = item.rpartition("=")
            try:
                parts = [Part(part.strip())] if equals else list(Part)
                found |= dict.fromkeys(parts, number(value))
            except ValueError:
                raise InvalidRequest(
                    f"{text!r} is no {what}.", hint=f"Write VALUE or PART=VALUE; {_PARTS}."
                ) from None
    return found


def _finite(where: str, value: object) -> float:
    # To Python, JSON's true and false are numbers.
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidRequest(f"The weight of {where} is {value!r}.", hint=_WEIGHT_HINT)
    # Also true of NaN, and of integers beyond a double's range.
    if not abs(value) <= _LARGEST:
        raise InvalidRequest(f"The weight of {where} is not finite.", hint=_WEIGHT_HINT)
    return float(value)
