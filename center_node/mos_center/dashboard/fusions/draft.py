"""A fusion as it is being put together: all that a form holds, as it was typed.

Nothing is lost that can't be read: it stays in its field, and `read` says what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Self

from mos_protocol.errors import InvalidRequest, MosError
from mos_protocol.layer_map import Part
from mos_protocol.names import check_slug, parse_concept_ref
from mos_protocol.part_weights import PartWeights

from mos_center.dashboard.fusions.reading import Reading, chosen, number
from mos_center.dashboard.visitor import Fields
from mos_center.domain.fuse_methods import solver_of
from mos_center.domain.models import Export, FuseMethod, Fusion, Priority, Solver
from mos_center.service.fusion_requests import FusionRequest, WantedConcept

PREVIEWS: Mapping[str, bool | None] = {"center": None, "yes": True, "no": False}
_LONGEST = 200
# Which field has the solver of a method that has several.
_FIELDS = {FuseMethod.GRADIENT: "solver", FuseMethod.WEIGHT_AVERAGE: "weighting"}


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
        parsed = self.weight if "=" in self.weight else str(number(self.weight or "1", float))
        own = {part.value: number(text, float) for part, text in self.parts.items() if text}
        return replace(PartWeights.parse(parsed), **own)


@dataclass(frozen=True)
class Draft:
    """The form's fields; an empty number means the center's default.

    `solver` is that of gradient fusion, `weighting` that of averaged weights.
    """

    base: str = ""
    model: str = ""
    concepts: tuple[DraftConcept, ...] = ()
    fuse_method: str = FuseMethod.GRADIENT.value
    solver: str = Solver.CLOSED_FORM.value
    weighting: str = Solver.AVERAGE.value
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
            fuse_method=text("fuse_method") or FuseMethod.GRADIENT.value,
            solver=text("solver"),
            weighting=text("weighting") or Solver.AVERAGE.value,
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
        method = fusion.solver.method
        named = {_FIELDS[method]: fusion.solver.value} if method in _FIELDS else {}
        return cls(
            **named,
            fuse_method=method.value,
            base=fusion.base,
            model=fusion.model,
            concepts=tuple(_concept(item.ref, item.weights) for item in fusion.concepts),
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
        try:
            return self._solver()
        except InvalidRequest:
            return Solver.CLOSED_FORM

    def _solver(self) -> Solver:
        """The solver of the chosen method; raises `InvalidRequest`."""
        method = chosen(FuseMethod, self.fuse_method)
        named = getattr(self, _FIELDS[method]) if method in _FIELDS else None
        return solver_of(method, None if named is None else chosen(Solver, named))

    def _without_idle(self) -> Self:
        """Without the numbers that the chosen method has no use for: their fields are hidden."""
        if self.solving_method.solves:
            return self
        return replace(self, prior_weight="", ridge={}, lbfgs_steps={}, refine_rounds="0")

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
        reading, used = Reading(), self._without_idle()
        make = partial(
            FusionRequest,
            model=reading.take("model", partial(_model, self.model), None),
            base=self.base,
            concepts=[
                reading.take(f"weight.{item.ref}", partial(_wanted, item), None)
                for item in self.concepts
            ],
            solver=reading.take("fuse_method", self._solver, None),
            prior_weight=reading.number("prior_weight", used.prior_weight, float),
            ridge=reading.by_part("ridge", used.ridge, float) or None,
            lbfgs_steps=reading.by_part("lbfgs_steps", used.lbfgs_steps, int) or None,
            refine_rounds=reading.number("refine_rounds", used.refine_rounds, int) or 0,
            exports=[
                reading.take("export", partial(chosen, Export, name), None)
                for name in sorted(self.exports)
            ],
            priority=reading.take("priority", partial(chosen, Priority, self.priority), None),
            previews=PREVIEWS.get(self.previews),
        )
        if reading.problems or not self.is_complete:
            return None, reading.problems
        return reading.take("concepts", make, None), reading.problems


def _model(name: str) -> str:
    return check_slug(name, "model name") if name else name


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
