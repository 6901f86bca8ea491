"""A fusion as it is being put together: all that a form holds, as it was typed.

Nothing is lost that can't be read: it stays in its field, and `read` says what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from typing import Any, Self, TypeVar

from mos_protocol.errors import InvalidRequest, MosError
from mos_protocol.layer_map import Part
from mos_protocol.names import check_slug, parse_concept_ref
from mos_protocol.part_weights import PartWeights

from mos_center.dashboard.visitor import Fields
from mos_center.domain.models import Export, Fusion, Priority, Solver
from mos_center.domain.solving import Solving
from mos_center.service.fusion_requests import FusionRequest, WantedConcept

T = TypeVar("T")
C = TypeVar("C", bound=StrEnum)

PREVIEWS: Mapping[str, bool | None] = {"center": None, "yes": True, "no": False}
_LONGEST = 200


@dataclass(frozen=True)
class DraftConcept:
    """A concept that is chosen, with its weight, and those of parts that have their own."""

    ref: str
    weight: str = "1"
    parts: Mapping[Part, str] = field(default_factory=dict)

    @property
    def has_parts(self) -> bool:
        """Whether a part has a weight of its own."""
        return any(self.parts.values())

    def part(self, name: str) -> str:
        """What was typed for the part of that name."""
        return self.parts.get(Part(name), "")

    def weights(self) -> PartWeights:
        """The weights as they were typed; raises `InvalidRequest`."""
        parsed = self.weight if "=" in self.weight else str(_number(self.weight or "1", float))
        own = {part.value: _number(text, float) for part, text in self.parts.items() if text}
        return replace(PartWeights.parse(parsed), **own)


@dataclass(frozen=True)
class Draft:
    """The form's fields; an empty number means the center's default."""

    base: str = ""
    model: str = ""
    concepts: tuple[DraftConcept, ...] = ()
    solver: str = Solver.CLOSED_FORM.value
    prior_weight: str = ""
    ridge: Mapping[Part, str] = field(default_factory=dict)
    lbfgs_steps: Mapping[Part, str] = field(default_factory=dict)
    refine_rounds: str = "0"
    exports: frozenset[str] = frozenset()
    priority: str = Priority.NORMAL.value
    previews: str = "center"

    @classmethod
    def from_fields(cls, fields: Fields) -> Self:
        """What a form sent."""

        def text(name: str) -> str:
            return fields.text(name, most=_LONGEST)

        return cls(
            base=text("base"),
            model=text("model"),
            concepts=tuple(
                DraftConcept(
                    ref,
                    text(f"weight.{ref}"),
                    {part: text(f"weight.{part.value}.{ref}") for part in Part},
                )
                for ref in dict.fromkeys(fields.all("concept"))
            ),
            solver=text("solver"),
            prior_weight=text("prior_weight"),
            ridge={part: text(f"ridge.{part.value}") for part in Part},
            lbfgs_steps={part: text(f"lbfgs_steps.{part.value}") for part in Part},
            refine_rounds=text("refine_rounds"),
            exports=frozenset(fields.all("export")),
            priority=text("priority"),
            previews=text("previews"),
        )

    @classmethod
    def of(cls, fusion: Fusion) -> Self:
        """The request that an earlier fusion was made of."""
        choices = {value: name for name, value in PREVIEWS.items()}
        return cls(
            base=fusion.base,
            model=fusion.model,
            concepts=tuple(_concept(item.ref, item.weights) for item in fusion.concepts),
            solver=fusion.solver.value,
            prior_weight=_typed(fusion.prior_weight) if fusion.solver.solves else "",
            ridge={part: _typed(value) for part, value in (fusion.ridge or {}).items()},
            lbfgs_steps={part: str(value) for part, value in (fusion.lbfgs_steps or {}).items()},
            refine_rounds=str(fusion.refine_rounds),
            exports=frozenset(export.value for export in fusion.exports),
            previews=choices[fusion.previews],
        )

    @property
    def has_more_settings(self) -> bool:
        """Whether something is chosen of what is seldom needed."""
        numbers = [*self.ridge.values(), *self.lbfgs_steps.values()]
        usual = (self.refine_rounds, self.priority, self.previews) == ("0", "normal", "center")
        return any(numbers) or bool(self.exports) or not usual

    @property
    def is_complete(self) -> bool:
        """Whether there is something in every field that can't be left empty."""
        return bool(self.base and self.model and self.concepts)

    def ridge_of(self, part: str) -> str:
        """What was typed as the part's ridge."""
        return self.ridge.get(Part(part), "")

    def steps_of(self, part: str) -> str:
        """What was typed as the part's steps."""
        return self.lbfgs_steps.get(Part(part), "")

    def with_concept(self, ref: str) -> Self:
        """With one concept more, unless it is there."""
        if not ref or any(item.ref == ref for item in self.concepts):
            return self
        return replace(self, concepts=(*self.concepts, DraftConcept(ref)))

    def without(self, ref: str) -> Self:
        """With one concept less."""
        return replace(self, concepts=tuple(one for one in self.concepts if one.ref != ref))

    @property
    def solving_method(self) -> Solver:
        """The solver, the usual one while it is none."""
        return Solver(self.solver) if self.solver in set(Solver) else Solver.CLOSED_FORM

    def wanted(self) -> list[WantedConcept]:
        """The concepts, with a weight of 1 where it can't be read."""
        found = []
        for item in self.concepts:
            try:
                found.append(_wanted(item))
            except InvalidRequest:
                found.append(_wanted(replace(item, weight="1", parts={})))
        return found

    def read(self) -> tuple[FusionRequest | None, dict[str, MosError]]:
        """The request that the draft is, or what is wrong by the field that it is wrong in.

        Without a name or any concept it is no request yet, and nothing is wrong with that.
        """
        reading = _Reading()
        make = partial(
            FusionRequest,
            model=reading.take("model", partial(_model, self.model), None),
            base=self.base,
            concepts=[
                reading.take(f"weight.{item.ref}", partial(_wanted, item), None)
                for item in self.concepts
            ],
            solver=reading.take("solver", partial(_chosen, Solver, self.solver), None),
            prior_weight=reading.number("prior_weight", self.prior_weight, float),
            ridge=reading.by_part("ridge", self.ridge, float) or None,
            lbfgs_steps=reading.by_part("lbfgs_steps", self.lbfgs_steps, int) or None,
            refine_rounds=reading.number("refine_rounds", self.refine_rounds, int) or 0,
            exports=[
                reading.take("export", partial(_chosen, Export, name), None)
                for name in sorted(self.exports)
            ],
            priority=reading.take("priority", partial(_chosen, Priority, self.priority), None),
            previews=PREVIEWS.get(self.previews),
        )
        if reading.problems or not self.is_complete:
            return None, reading.problems
        return reading.take("concepts", make, None), reading.problems


class _Reading:
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
    value = _number(text, kind)
    choice: dict[str, Any] = {name: value if part is None else {part: value}}
    Solving.of(Solver.LBFGS, **choice)
    return value


def _number(text: str, kind: type[float] | type[int]) -> float | int:
    try:
        return kind(text.replace(",", "."))
    except ValueError:
        example = "8" if kind is int else "0.8"
        raise InvalidRequest(
            f"{text!r} is no {'whole ' * (kind is int)}number.",
            hint=f"Write one such as {example}.",
        ) from None


def _model(name: str) -> str:
    return check_slug(name, "model name") if name else name


def _chosen(choices: type[C], name: str) -> C:
    try:
        return choices(name)
    except ValueError:
        raise InvalidRequest(
            f"There is no {name!r} to choose.", hint=f"Choose {', '.join(choices)}."
        ) from None


def _wanted(item: DraftConcept) -> WantedConcept:
    ref = parse_concept_ref(item.ref)
    return WantedConcept(str(ref.concept), ref.version, item.weights())


def _concept(ref: str, weights: PartWeights) -> DraftConcept:
    if weights.is_uniform:
        return DraftConcept(ref, _typed(weights.text_encoder))
    return DraftConcept(ref, "1", {part: _typed(weights.of(part)) for part in Part})


def _typed(value: float) -> str:
    """The number to its last digit: another one would be another build."""
    return repr(value).removesuffix(".0")
