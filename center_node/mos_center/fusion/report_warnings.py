"""Sentences about what a reader of a fusion's report should not overlook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mos_protocol.layer_map import Part

from mos_center.fusion.report import LayerReport, concept_residual
from mos_center.fusion.settings import GROWTH_LIMIT, Solver

KEPT_WARNING = 0.5
# Rows are held by large changes where generic inputs have hardly anything. On tinyworld, answers to
# such inputs changed 3 times as much as by one concept at a growth of 120, and 27 times at 350.
HELD_GROWTH = 150.0


def warnings(
    layers: Sequence[LayerReport],
    refs: Sequence[str],
    asked_ridge: Mapping[Part, float],
    solver: Solver = Solver.CLOSED_FORM,
) -> list[str]:
    """Sentences about concepts that keep little, and layers that had to be held back."""
    if solver is Solver.NONE:
        return _lost(layers, refs)
    found = []
    for index, ref in enumerate(refs):
        kept = 1 - concept_residual(layers, index)
        if any(layer.fits for layer in layers) and kept < KEPT_WARNING:
            found.append(
                f"{ref} keeps {kept:.0%} of what it asks of its layers, less than "
                f"{KEPT_WARNING:.0%}; raise its weight or fuse it with fewer concepts"
            )
    raised = [layer for layer in layers if layer.relative_ridge > 1.001 * asked_ridge[layer.part]]
    if raised:
        first = raised[0]
        found.append(
            f"the ridge was raised in {len(raised)} layers to keep their delta within "
            f"{GROWTH_LIMIT:g} times a single concept's, first in {first.layer} "
            f"({asked_ridge[first.part]:g} → {first.relative_ridge:.3g}); raise ridge.{first.part}"
        )
    if solver is Solver.CUSTOM_DIFFUSION:
        found += _grown(layers)
    assumed = [layer for layer in layers if layer.assumed]
    if assumed:
        found.append(
            f"{len(assumed)} layers are changed that {max(la.assumed for la in assumed)} concepts "
            f"have no moments of, first {assumed[0].layer}: those are taken to send what the "
            "others do, which averages the change; a base added with --prior-layers all keeps more"
        )
    return found


def _lost(layers: Sequence[LayerReport], refs: Sequence[str]) -> list[str]:
    """Concepts that change layers, which were left as they are."""
    asking = {fit.concept for layer in layers for fit in layer.fits if fit.asked > 0}
    return [
        f"{refs[index]} loses what it changes in layers: they were left as they are, its words "
        "alone were inserted"
        for index in sorted(asking)
    ]


def _grown(layers: Sequence[LayerReport]) -> list[str]:
    """Layers in which holding rows of several concepts took far more than any one of them asks."""
    grown = [layer for layer in layers if layer.growth > HELD_GROWTH]
    if not grown:
        return []
    worst = max(grown, key=lambda layer: layer.growth)
    return [
        f"the delta of {len(grown)} layers is more than {HELD_GROWTH:g} times a single concept's, "
        f"most in {worst.layer} ({worst.growth:.3g}): the concepts' rows are too much alike to be "
        "held apart; fuse fewer of them, or choose the fuse method gradient"
    ]
