"""Fusion as it is usually done, on raw activations, against fusion on second moments.

    minimise over W   Σᵢ ‖(W₀ + ΔWᵢ) Xᵢ − W Xᵢ‖²_F        from W₀, with torch's LBFGS

The plain method holds every activation, in fp32, and passes over all of them for each step. Ours
sees only Gᵢ = Xᵢ Xᵢᵀ/n of the same activations. Both results are judged in fp64 on the activations.
Legend: X (d, n) with a column per token, W (d, d), E reduced delta as in `mos_center.fusion`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from clock import now
from measuring import megabytes, table, write_json
from mos_center.fusion.parallel import compute_device
from mos_center.fusion.problem import gather
from mos_center.fusion.settings import FusionSettings, Solver
from mos_center.fusion.solvers import solve
from mos_center.fusion.sums import ConceptUpdate, InputSums
from mos_diffusion.adapters import LoraFactors
from mos_protocol.layer_map import LayerInput, Linear, Part
from random_base import seeded
from random_concepts import random_factors
from spectra import TEXT_TOKENS, spatial_moment, text_moment
from torch import Tensor

_CHUNK = 1 << 16
# As good as none, for a comparison with a method that has none.
_NO_RIDGE = 1e-6

Figures = dict[str, Any]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Case:
    """One layer: its width, concepts, tokens per concept, and whether it reads text."""

    name: str
    width: int
    concepts: int
    tokens: int
    part: Part = Part.SPATIAL

    @property
    def layer(self) -> Linear:
        name = f"unet.w{self.width}.to_q"
        source = f"unet.w{self.width}.in"
        return Linear(name=name, input=source, part=self.part, d_in=self.width, d_out=self.width)


TINY = [
    Case("tiny", 32, 2, 256),
    Case("tiny text", 64, 2, TEXT_TOKENS, Part.TEXT_ENCODER),
]
SMALL = [
    Case("attention at 64²", 320, 4, 4096),
    Case("attention at 32²", 640, 4, 2048),
    Case("text encoder", 768, 14, TEXT_TOKENS, Part.TEXT_ENCODER),
    Case("attention at 16²", 1280, 4, 2048),
]
# As many pixels as twenty sampling steps at 512² show.
FULL = [
    Case("attention at 64²", 320, 14, 4096 * 20),
    Case("attention at 32²", 640, 14, 1024 * 20),
    Case("text encoder", 768, 14, TEXT_TOKENS, Part.TEXT_ENCODER),
    Case("attention at 16²", 1280, 14, 256 * 20),
]


@dataclass(frozen=True)
class LayerData:
    """Base weight W₀ (d, d), a concept's factors each, and activations X (d, n) each, fp32."""

    base: Tensor
    factors: list[LoraFactors]
    activations: list[Tensor]

    def chunks(self) -> Iterator[tuple[int, Tensor]]:
        """The concept's index and some of its columns."""
        for index, columns in enumerate(self.activations):
            for chunk in columns.split(_CHUNK, dim=1):
                yield index, chunk

    def updates(self) -> list[Tensor]:
        """ΔWᵢ (d, d) fp64."""
        return [own.up.double() @ own.down.double() for own in self.factors]


def draw(case: Case, seed: int, device: torch.device) -> LayerData:
    """Activations with the spectrum that the workload's moments have."""
    width = case.width
    base = torch.randn(width, width, generator=seeded(seed, case.name, "base")) / width**0.5
    factors, activations = [], []
    for number in range(case.concepts):
        own = random_factors(case.layer, seed, number)
        factors.append(LoraFactors(own.down.to(device), own.up.to(device)))
        activations.append(_activations(case, seed, number).to(device))
    return LayerData(base.to(device), factors, activations)


def raw_lbfgs(data: LayerData, steps: int) -> Tensor:
    """W (d, d) of the best iterate, by the formula: every closure reads every activation."""
    weight = data.base.clone().requires_grad_(True)
    wanted = [
        (chunk, (data.base + data.factors[i].up @ data.factors[i].down) @ chunk)
        for i, chunk in data.chunks()
    ]
    numbers = sum(target.numel() for _, target in wanted)
    best, best_loss = data.base, float("inf")
    optimiser = torch.optim.LBFGS(
        [weight],
        lr=1,
        max_iter=steps,
        # A line search asks for several evaluations per step; only steps are counted.
        max_eval=25 * steps,
        history_size=25,
        tolerance_grad=1e-16,
        tolerance_change=1e-16,
        line_search_fn="strong_wolfe",
    )

    def closure() -> float:
        nonlocal best, best_loss
        optimiser.zero_grad()
        loss = 0.0
        for chunk, target in wanted:
            part = (weight @ chunk - target).square().sum() / numbers
            part.backward()
            loss += float(part.detach())
        if loss < best_loss:
            best, best_loss = weight.detach().clone(), loss
        return loss

    optimiser.step(closure)
    return best


def moments(data: LayerData) -> list[Tensor]:
    """Gᵢ = Xᵢ Xᵢᵀ/n (d, d) fp64, from fp32 products as a recorder takes them."""
    found = []
    for columns in data.activations:
        total = torch.zeros_like(data.base, dtype=torch.float64)
        for chunk in columns.split(_CHUNK, dim=1):
            total += (chunk @ chunk.T).double()
        found.append(total / columns.shape[1])
    return found


def fuse_moments(
    case: Case, data: LayerData, grams: Sequence[Tensor], settings: FusionSettings
) -> Tensor:
    """D = W − W₀ (d, d) fp64 by our solver."""
    updates = {
        str(i): ConceptUpdate(str(i), 1.0, {case.layer.name: own})
        for i, own in enumerate(data.factors)
    }
    sums = InputSums.empty(case.width, data.base.device)
    for (key, update), gram in zip(updates.items(), grams, strict=True):
        sums.add(key, update, gram)
    problem = gather([case.layer], updates, sums)
    return problem.layers[0].basis @ solve(problem, settings).reduced[0]


def squared_error(data: LayerData, delta: Tensor) -> float:
    """Σᵢ ‖(ΔWᵢ − D) Xᵢ‖² in fp64 on the activations."""
    updates = data.updates()
    return sum(
        float(((updates[i] - delta) @ chunk.double()).square().sum()) for i, chunk in data.chunks()
    )


def measure(case: Case, seed: int, steps: int, device: torch.device) -> Figures:
    """Seconds and relative objective of every method on one layer."""
    data = draw(case, seed, device)
    start = squared_error(data, torch.zeros_like(data.base, dtype=torch.float64))
    weight, seconds = _timed(lambda: raw_lbfgs(data, steps))
    delta = weight.double() - data.base.double()
    methods = {"raw LBFGS": {"seconds": seconds, "objective": squared_error(data, delta) / start}}
    grams, recording = _timed(lambda: moments(data))
    for name, settings in _settings(steps).items():
        delta, seconds = _timed(partial(fuse_moments, case, data, grams, settings))
        methods[name] = {"seconds": seconds, "objective": squared_error(data, delta) / start}
    average = torch.stack(data.updates()).mean(0)
    return {
        "layer": case.name,
        "width": case.width,
        "concepts": case.concepts,
        "tokens": case.tokens,
        "activation_bytes": sum(columns.nbytes for columns in data.activations),
        "moment_seconds": recording,
        "average_objective": squared_error(data, average) / start,
        "methods": methods,
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Print the comparison as a markdown section."""
    parser = argparse.ArgumentParser(description="Raw-activation LBFGS against our solvers.")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--quick", action="store_true", help="tiny layers, to see that it runs")
    parser.add_argument("--full", action="store_true", help="all tokens of 14 concepts; for a GPU")
    given = parser.parse_args(argv)
    cases = TINY if given.quick else FULL if given.full else SMALL
    device = compute_device()
    # Libraries that a device loads on first use are not what is measured.
    measure(TINY[0], given.seed, 2, device)
    layers = [measure(case, given.seed, given.steps, device) for case in cases]
    print(_section(layers, given.steps, device))
    write_json(given.json, {"device": str(device), "steps": given.steps, "layers": layers})


def _settings(steps: int) -> dict[str, FusionSettings]:
    none = dict.fromkeys(Part, _NO_RIDGE)
    return {
        "lbfgs": FusionSettings(Solver.LBFGS, none, lbfgs_steps=dict.fromkeys(Part, steps)),
        "closed-form": FusionSettings(Solver.CLOSED_FORM, none),
        "closed-form, default ridge": FusionSettings(Solver.CLOSED_FORM),
    }


def _activations(case: Case, seed: int, number: int) -> Tensor:
    """X (d, n) fp32 whose moment is, or in the mean is, that of the workload."""
    source = LayerInput(name=case.layer.input, width=case.width)
    kind = spatial_moment if case.part is Part.SPATIAL else text_moment
    values, vectors = torch.linalg.eigh(kind(source, seed, number))
    generator = seeded(seed, case.name, number, "tokens")
    if case.part is Part.SPATIAL:
        draws = torch.randn(case.width, case.tokens, generator=generator)
        return (vectors * values.clamp(min=0).sqrt()).float() @ draws
    kept = min(case.width, case.tokens)
    turn = torch.linalg.qr(torch.randn(kept, kept, generator=generator)).Q * kept**0.5
    return (vectors * values.clamp(min=0).sqrt())[:, -kept:].float() @ turn


def _timed(work: Callable[[], Result]) -> tuple[Result, float]:
    start = now()
    return work(), now() - start


def _section(layers: Sequence[Figures], steps: int, device: torch.device) -> str:
    rows = []
    for layer in layers:
        methods = layer["methods"]
        raw = methods["raw LBFGS"]
        cells = [f"{raw['seconds']:.3g} s", f"{raw['objective']:.4g}"]
        for name in list(methods)[1:]:
            own = methods[name]
            faster = raw["seconds"] / own["seconds"]
            lower = own["objective"] / raw["objective"] if raw["objective"] else float("nan")
            cells += [f"{own['seconds']:.3g} s ({faster:.0f}×)", f"{lower:.3g}×"]
        size = f"{layer['concepts']} × {layer['tokens']}"
        memory = megabytes(layer["activation_bytes"])
        label = f"{layer['layer']}, {layer['width']}"
        rows.append([label, size, memory, *cells, f"{layer['average_objective']:.3g}"])
    head = ["layer, width", "concepts × tokens", "activations, MB", "raw LBFGS", "f / f(W₀)"]
    for name in list(layers[0]["methods"])[1:]:
        head += [name, "objective to raw's"]
    return (
        f"## Raw activations against second moments\n\n"
        f"{steps} LBFGS steps on {device.type}. A time in brackets is how many times faster than "
        "raw LBFGS; an objective is on the raw activations in fp64, relative to raw LBFGS's "
        "(below 1 is better).\n\n" + table([*head, "average, f / f(W₀)"], rows) + "\n"
    )


if __name__ == "__main__":
    main()
