"""What the comparison of submitted with recorded moments says: plausible, or suspicious and where.

The center has no pictures, so that it records on templates, which differ from a member's pictures.
The bounds lie between what honest concepts showed and what swapped, flat, random and low-rank
moments did; `docs/trust.md` has the figures. They hold for medians over a part's inputs, since
single inputs differ much. Concepts that were recorded on templates themselves come far closer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from mos_diffusion.comparison import Difference
from mos_protocol.layer_map import LayerMap, Part

from mos_center.domain.audits import Verdict

WORST = 5


@dataclass(frozen=True)
class Bound:
    """The most that a part's medians may be."""

    beyond: float
    missing: float


BOUNDS: Mapping[Part, Bound] = {
    Part.TEXT_ENCODER: Bound(1.0, 5.0),
    Part.CROSS_KV: Bound(1.5, 20.0),
    Part.SPATIAL: Bound(2.2, 8.0),
}
TEMPLATE_BOUNDS: Mapping[Part, Bound] = {
    Part.TEXT_ENCODER: Bound(0.7, 5.0),
    Part.CROSS_KV: Bound(0.7, 20.0),
    Part.SPATIAL: Bound(0.9, 8.0),
}


def judge(
    differences: Mapping[str, Difference], layer_map: LayerMap, recording: str
) -> dict[str, object]:
    """The result of an audit as plain data; `differences` by input."""
    bounds = TEMPLATE_BOUNDS if recording == "templates" else BOUNDS
    parts, reasons = {}, []
    for part, names in _inputs(differences, layer_map).items():
        found = [differences[name] for name in names]
        parts[part.value] = _medians(found)
        reasons += _reasons(part, found, bounds[part])
    verdict = Verdict.SUSPICIOUS if reasons else Verdict.PLAUSIBLE
    return {
        "verdict": verdict.value,
        "reasons": reasons,
        "parts": parts,
        "worst": _worst(differences, layer_map, bounds),
    }


def _inputs(differences: Mapping[str, Difference], layer_map: LayerMap) -> dict[Part, list[str]]:
    found: dict[Part, list[str]] = {}
    for name, part in _parts(layer_map).items():
        if name in differences:
            found.setdefault(part, []).append(name)
    return found


def _parts(layer_map: LayerMap) -> dict[str, Part]:
    return {layer.input: layer.part for layer in layer_map.layers()}


def _medians(found: Sequence[Difference]) -> dict[str, float]:
    return {
        name: round(median(getattr(item, name) for item in found), 4)
        for name in ("energy", "overlap", "beyond", "missing")
    }


def _reasons(part: Part, found: Sequence[Difference], bound: Bound) -> list[str]:
    beyond = median(item.beyond for item in found)
    missing = median(item.missing for item in found)
    reasons = []
    if beyond > bound.beyond:
        reasons.append(
            f"{part.value}: the moments claim inputs that the concept does not send "
            f"({beyond:.2f}; up to {bound.beyond:g} is usual)"
        )
    if missing > bound.missing:
        reasons.append(
            f"{part.value}: the moments leave out inputs that the concept sends "
            f"({missing:.2f}; up to {bound.missing:g} is usual)"
        )
    return reasons


def _worst(
    differences: Mapping[str, Difference], layer_map: LayerMap, bounds: Mapping[Part, Bound]
) -> list[dict[str, object]]:
    """The inputs that are furthest beyond their part's bounds, the worst first."""
    parts = _parts(layer_map)

    def excess(name: str) -> float:
        item, bound = differences[name], bounds[parts[name]]
        return max(item.beyond / bound.beyond, item.missing / bound.missing)

    names = sorted(differences, key=excess, reverse=True)[:WORST]
    return [
        {
            "input": name,
            "energy": round(differences[name].energy, 4),
            "overlap": round(differences[name].overlap, 4),
            "beyond": round(differences[name].beyond, 4),
            "missing": round(differences[name].missing, 4),
        }
        for name in names
    ]
