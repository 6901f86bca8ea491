"""What fusion needs to know of all concepts at one layer input, as sums that can grow and shrink.

    G = Σ Gᵢ          downᵢ Gᵢ per concept and layer

With them, a concept is added or withdrawn by reading its own moments alone; weights are applied
later, so they can change without reading anything. All float64.

Legend: d width of the input, r rank, s columns of a sketch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from mos_protocol.errors import InvalidRequest
from torch import Tensor

if TYPE_CHECKING:
    from mos_diffusion.adapters import LoraFactors

SKETCH_COLUMNS = 32


@dataclass(frozen=True)
class ConceptUpdate:
    """What one concept asks of an input's layers: its weight α, and factors where it has some."""

    name: str
    weight: float
    factors: Mapping[str, LoraFactors]


@dataclass(frozen=True)
class Sketch:
    """Gᵢ ≈ factor factorᵀ + diag(rest): factor (d, s) and rest (d,), float32."""

    factor: Tensor
    rest: Tensor

    def apply(self, rows: Tensor) -> Tensor:
        """rows Gᵢ for rows (m, d), approximately."""
        factor = self.factor.to(rows)
        return (rows @ factor) @ factor.T + rows * self.rest.to(rows)


@dataclass(frozen=True)
class Seen:
    """One concept at one input: rows downᵢ Gᵢ (r, d) per layer that it changes.

    recorded: whether it has a moment of this input at all. sketch: of Gᵢ, when one is kept.
    """

    rows: Mapping[str, Tensor]
    recorded: bool
    sketch: Sketch | None = None


@dataclass
class InputSums:
    """G (d, d) and what each concept saw, by the concept's key."""

    gram: Tensor
    concepts: dict[str, Seen] = field(default_factory=dict)

    @classmethod
    def empty(cls, width: int, device: str | torch.device = "cpu") -> InputSums:
        """No concept yet."""
        return cls(torch.zeros(width, width, dtype=torch.float64, device=device))

    def add(
        self, key: str, update: ConceptUpdate, moment: Tensor | None, *, sketch: bool = False
    ) -> None:
        """Add a concept's moment (d, d) and what its factors make of it; its weight does not count.

        A concept that leaves all layers of an input alone may have no moment of it. Raises
        `InvalidRequest` for one that is missing, misshapen or not finite.
        """
        if moment is None:
            if update.factors:
                raise InvalidRequest(
                    f"{update.name}: the moment of {next(iter(update.factors))}'s input is "
                    "missing.",
                    hint="Write the package again with mos-client.",
                )
            self.concepts[key] = Seen({}, recorded=False)
            return
        _check_moment(update.name, moment, len(self.gram))
        self.gram += moment
        rows = {
            layer: own.down.to(moment.device, torch.float64) @ moment
            for layer, own in update.factors.items()
        }
        self.concepts[key] = Seen(rows, True, sketched(moment) if sketch else None)

    def remove(self, key: str, moment: Tensor | None) -> None:
        """Take a concept out again; `moment` is the one that was added."""
        if moment is not None:
            _check_moment("a concept that goes out", moment, len(self.gram))
            self.gram -= moment
        del self.concepts[key]

    def to(self, device: str | torch.device) -> InputSums:
        """The same sums on another device; sketches stay where they are."""
        moved = {
            key: replace(seen, rows={name: rows.to(device) for name, rows in seen.rows.items()})
            for key, seen in self.concepts.items()
        }
        return InputSums(self.gram.to(device), moved)

    def total(self, stand_in: Tensor | None) -> Tensor:
        """G with something in place of the moments that some concepts lack.

        They are concepts of which nothing is known here but that they want the base's behaviour:
        `stand_in` (the base's prior) tells what they may send, else the mean of the others does.
        """
        missing = sum(not seen.recorded for seen in self.concepts.values())
        recorded = len(self.concepts) - missing
        if not missing or not recorded:
            return self.gram
        return self.gram + missing * (self.gram / recorded if stand_in is None else stand_in)


def sketched(moment: Tensor) -> Sketch:
    """The Nyström sketch of a moment (d, d), with the same diagonal; the same moment, same bits."""
    width = len(moment)
    columns = min(SKETCH_COLUMNS, width)
    generator = torch.Generator().manual_seed(width)
    probe = torch.randn(width, columns, generator=generator, dtype=torch.float64)
    seen = moment @ probe.to(moment.device)
    values, vectors = torch.linalg.eigh(probe.to(moment.device).T @ seen)
    kept = values > 1e-10 * values[-1].clamp(min=0)
    factor = (seen @ vectors[:, kept]) / values[kept].clamp(min=1e-300).sqrt()
    rest = (moment.diagonal() - factor.square().sum(1)).clamp(min=0)
    return Sketch(factor.float(), rest.float())


def _check_moment(whose: str, moment: Tensor, width: int) -> None:
    if moment.shape != (width, width):
        raise InvalidRequest(
            f"{whose}: a moment is {tuple(moment.shape)}; expected {(width, width)}.",
            hint="Write the package again with mos-client.",
        )
    if not moment.isfinite().all():
        raise InvalidRequest(
            f"{whose}: a moment has values that are not finite.",
            hint="Record the concept's moments again.",
        )
