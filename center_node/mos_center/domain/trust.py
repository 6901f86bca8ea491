"""How far a package's figures may be from the base's own before they are not believed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrustBounds:
    """Bounds of what a member may claim; `docs/trust.md` says what was measured and why these.

    energy: an input's mean square against the base's own, either way. directions: over how many
    directions an input's energy is spread, against the base's own. negative: the most negative
    eigenvalue that rounding may leave, in units of the mean diagonal. delta: ‖ΔW‖ against ‖W‖ of
    one layer; whole_delta: of all layers that change, together. embedding: an embedding's norm
    against the largest of the base's vocabulary.

    largest_*: the same without a base to compare with, in absolute figures.
    """

    energy: float = 50.0
    directions: float = 4.0
    negative: float = 1e-4
    delta: float = 0.5
    whole_delta: float = 0.25
    embedding: float = 10.0
    largest_energy: float = 1e6
    largest_delta: float = 1e3
    largest_embedding: float = 1e3
