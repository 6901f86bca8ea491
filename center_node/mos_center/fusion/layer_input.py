"""Fuse the layers that share one input: add moments up, solve, and measure what came of it.

Moments are read concept by concept, and once more to measure each concept on its own; so memory
holds a few matrices, whatever the number of concepts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from mos_diffusion.adapters import LoraFactors
from mos_diffusion.moments import StoredMoments
from mos_protocol.layer_map import Block, LayerInput, Linear
from mos_protocol.names import Digest
from torch import Tensor

from mos_center.fusion.equal_weight import equalised
from mos_center.fusion.parallel import Stopwatch, compute_device
from mos_center.fusion.problem import InputProblem, LayerProblem, gather, objective
from mos_center.fusion.quality import LayerQuality, Measure, dense
from mos_center.fusion.report import LayerReport
from mos_center.fusion.settings import FusionSettings, Solver
from mos_center.fusion.solvers import Solution, solve
from mos_center.fusion.solvers.constrained import rows_of
from mos_center.fusion.sources import BaseSource, BlockMoments, ConceptSource
from mos_center.fusion.sums import ConceptUpdate, InputSums
from mos_center.fusion.sums_cache import Reuse, SumsCache

# Moments that were decoded are kept for the measurement while they are no more than this.
_KEPT_BYTES = 256 << 20


@dataclass(frozen=True)
class CachedSums:
    """Where sums are kept, which set to start from, and the sources of concepts that go out."""

    cache: SumsCache
    reuse: Reuse | None
    withdrawn: Mapping[Digest, ConceptSource] = field(default_factory=dict)


@dataclass
class BlockWork:
    """What the inputs of one block share while it is fused."""

    base: BaseSource
    block: Block
    concepts: Sequence[ConceptSource]
    settings: FusionSettings
    factors: Sequence[Mapping[str, LoraFactors]]
    moments: BlockMoments
    prior: StoredMoments | None
    prior_weight: float
    cached: CachedSums | None
    watch: Stopwatch


@dataclass(frozen=True)
class FusedInput:
    """Factors and reports of an input's layers; collisions of pairs; who was only estimated."""

    tensors: dict[str, Tensor]
    layers: list[LayerReport]
    collisions: dict[tuple[int, int], float]
    estimated: set[int]


def fuse_input(work: BlockWork, item: LayerInput) -> FusedInput:
    """Fuse the layers that share one input."""
    device = compute_device()
    with torch.no_grad():
        layers = changed_layers(work, item)
        updates = _updates(work, layers)
        reader = _Reader(work.moments, item.name, device)
        with work.watch.phase("read"):
            prior = _prior(work, item, device)
            sums = _sums(work, item, updates, reader, device)
        with work.watch.phase("solve"):
            problem = gather(layers, updates, sums, prior, work.prior_weight)
            if work.settings.solver is Solver.CUSTOM_DIFFUSION:
                problem.rows = _held_rows(work, item, device)
            solution = solve(problem, work.settings)
            # Rounded as they are published: what follows reports on these.
            solution.reduced[:] = [reduced.float().double() for reduced in solution.reduced]
        with work.watch.phase("measure"):
            estimated = {
                index
                for index, concept in enumerate(work.concepts)
                if sums.concepts[concept.digest].recorded and concept.digest not in reader.was_read
            }
            qualities = _measure(work, problem, solution, sums, reader)
            missing = sum(not seen.recorded for seen in sums.concepts.values())
            assumed = missing if prior is None else 0
            reports = _reports(problem, solution, qualities, assumed)
    tensors: dict[str, Tensor] = {}
    collisions: dict[tuple[int, int], float] = {}
    for layer, reduced, quality in zip(problem.layers, solution.reduced, qualities, strict=True):
        if work.settings.solver is not Solver.NONE:
            tensors[f"{layer.layer.name}.up"] = layer.basis.float().cpu()
            tensors[f"{layer.layer.name}.down"] = reduced.float().cpu()
        for pair, value in quality.collisions().items():
            collisions[pair] = collisions.get(pair, 0.0) + value
    return FusedInput(tensors, reports, collisions, estimated)


class _Reader:
    """Moments of one input, read from the packages; the first ones stay, in float32.

    was_read: whose moments were read at all.
    """

    def __init__(self, moments: BlockMoments, name: str, device: torch.device) -> None:
        self._moments = moments
        self._name = name
        self._device = device
        self._kept: dict[Digest, Tensor] = {}
        self._room = _KEPT_BYTES
        self.was_read: set[Digest] = set()

    def read(self, digest: Digest) -> Tensor | None:
        """The moment (d, d) fp64; None when the concept has none."""
        moment = self._moments.read(digest, self._name)
        self.was_read.add(digest)
        if moment is None:
            return None
        moment = moment.to(self._device)
        if 4 * moment.numel() <= self._room:
            self._room -= 4 * moment.numel()
            self._kept[digest] = moment.float()
        return moment

    def again(self, digest: Digest) -> Tensor | None:
        """The same in float32, from memory if it was kept."""
        if digest in self._kept:
            return self._kept.pop(digest)
        moment = self._moments.read(digest, self._name)
        return None if moment is None else moment.to(self._device).float()


def _prior(work: BlockWork, item: LayerInput, device: torch.device) -> Tensor | None:
    if work.prior is None or item.name not in work.prior:
        return None
    return equalised(work.prior.read(item.name)).to(device)


def _held_rows(work: BlockWork, item: LayerInput, device: torch.device) -> dict[int, Tensor]:
    """Rows of the concepts that recorded their own words and the end token alone."""
    found = {}
    for index, concept in enumerate(work.concepts):
        if concept.manifest.moments.recording == "paper":
            moment = work.moments.read(concept.digest, item.name)
            if moment is not None:
                found[index] = rows_of(moment.to(device))
    return found


def changed_layers(work: BlockWork, item: LayerInput) -> list[Linear]:
    """The layers fed by an input that at least one concept changes."""
    changed = {name for own in work.factors for name in own}
    return [
        layer for layer in work.block.layers if layer.input == item.name and layer.name in changed
    ]


def _updates(work: BlockWork, layers: Sequence[Linear]) -> dict[str, ConceptUpdate]:
    part = layers[0].part
    names = {layer.name for layer in layers}
    return {
        concept.digest: ConceptUpdate(
            concept.ref,
            concept.weights.of(part),
            {name: own for name, own in factors.items() if name in names},
        )
        for concept, factors in zip(work.concepts, work.factors, strict=True)
    }


def _sums(
    work: BlockWork,
    item: LayerInput,
    updates: Mapping[str, ConceptUpdate],
    reader: _Reader,
    device: torch.device,
) -> InputSums:
    """The sums of an input: from the cache with what changed, or from every concept."""
    sums = InputSums.empty(item.width, device)
    cached = work.cached
    if cached is not None and cached.reuse is not None:
        found = cached.cache.load(cached.reuse, item.name)
        if found is not None and len(found.gram) == item.width:
            sums = found.to(device)
            for gone in cached.reuse.withdrawn:
                sums.remove(gone, reader.read(gone))
    for digest, update in updates.items():
        if digest not in sums.concepts:
            moment = reader.read(Digest(digest))
            sums.add(digest, update, moment, sketch=cached is not None)
    if cached is not None:
        concepts = [concept.digest for concept in work.concepts]
        cached.cache.store(work.base.digest, concepts, item.name, sums)
    return sums


def _measure(
    work: BlockWork, problem: InputProblem, solution: Solution, sums: InputSums, reader: _Reader
) -> list[LayerQuality]:
    """Every concept's fit: on its moment, or its sketch when the moment was not read."""
    measure = Measure(problem, solution.reduced, solution.ridge)
    for index, concept in enumerate(work.concepts):
        seen = sums.concepts[concept.digest]
        if concept.digest in reader.was_read:
            moment = reader.again(concept.digest)
            if moment is not None:
                measure.add(index, dense(moment))
        elif seen.sketch is not None:
            measure.add(index, seen.sketch.apply)
    return measure.layers


def _reports(
    problem: InputProblem,
    solution: Solution,
    qualities: Sequence[LayerQuality],
    assumed: int,
) -> list[LayerReport]:
    curvature = problem.curvature
    scale = float(curvature.diagonal().mean())
    condition = _condition(curvature, solution.ridge)
    trace, size = float(problem.gram.trace()), float(problem.gram.norm())
    return [
        LayerReport(
            layer=layer.layer.name,
            part=problem.part,
            rank=len(reduced),
            average=objective(layer, problem.gram, layer.average),
            result=_published_objective(problem, layer, reduced),
            asked=layer.asked,
            norm=float((layer.basis.float().double() @ reduced).norm()),
            largest_norm=layer.largest_norm,
            ridge=solution.ridge,
            relative_ridge=solution.ridge / scale if scale else 0.0,
            condition=condition,
            effective_rank=(trace / size) ** 2 if size else 0.0,
            assumed=assumed,
            fits=tuple(quality.fits),
        )
        for layer, reduced, quality in zip(problem.layers, solution.reduced, qualities, strict=True)
    ]


def _published_objective(problem: InputProblem, layer: LayerProblem, reduced: Tensor) -> float:
    """f of the factors as they are published, rounded to float32.

    up·down = D' has f(D') = tr(S down G downᵀ) − 2 tr(T K downᵀ), S = upᵀup and T = upᵀQ.
    """
    up = layer.basis.float().double()
    fitted = (up.T @ up @ reduced) @ problem.gram - 2 * (up.T @ layer.basis) @ layer.target
    return float((fitted * reduced).sum())


def _condition(curvature: Tensor, ridge: float) -> float:
    """An upper bound of the condition number of H: (λ_max + λ) / λ; 0 without a ridge."""
    if ridge == 0:
        return 0.0
    vector = curvature.sum(1)
    for _ in range(12):
        length = vector.norm()
        if float(length) == 0:
            return 1.0
        vector = curvature @ (vector / length)
    return (float(vector.norm()) + ridge) / ridge
