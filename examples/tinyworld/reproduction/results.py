"""What the studies found, as plain figures: what the document's tables and plots are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from reproduction.scaling import Scaled
from reproduction.table import Alignment


@dataclass(frozen=True)
class Mean:
    """A mean over concepts, prompts and seeds, and its standard error over the seeds."""

    value: float
    error: float

    @classmethod
    def over(cls, values: Sequence[Sequence[Sequence[float]]]) -> Mean:
        """values: [concept][prompt][seed]."""
        seeds = range(len(values[0][0]))
        by_seed = [fmean(row[seed] for rows in values for row in rows) for seed in seeds]
        error = stdev(by_seed) / len(by_seed) ** 0.5 if len(by_seed) > 1 else float("nan")
        return cls(fmean(by_seed), error)


@dataclass(frozen=True)
class Cell:
    """Text- and image-alignment of one method in one state."""

    text: Mean
    image: Mean

    @classmethod
    def over(cls, found: Sequence[Alignment]) -> Cell:
        """The mean over the alignments of several concepts."""
        return cls(Mean.over([a.text for a in found]), Mean.over([a.image for a in found]))


@dataclass(frozen=True)
class Line:
    """A method's line: for each kind of concept, and for `all`, its single and fused cells."""

    label: str
    single: dict[str, Cell]
    fused: dict[str, Cell]


@dataclass
class Results:
    """Filled by the studies that ran; what did not run stays None, and its part as it was."""

    concepts: int = 0
    seeds: int = 0
    bound: dict[str, Cell] | None = None
    methods: list[Line] | None = None
    ablations: list[Line] | None = None
    scaling: dict[tuple[str, str], list[Scaled]] | None = None
    tuning: dict[tuple[str, str], list[Scaled]] | None = None
