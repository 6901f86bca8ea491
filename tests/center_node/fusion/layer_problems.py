"""Random fusion problems of one block, as numpy arrays, for the tests of problem and solver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from mos_center.fusion.problem import InputProblem, gather
from mos_center.fusion.sums import ConceptUpdate, InputSums
from mos_protocol.layer_map import Block, LayerInput, Linear, Part


class Factors(NamedTuple):
    """The shape of the engine's LoraFactors: down (r, d_in), up (d_out, r)."""

    down: torch.Tensor
    up: torch.Tensor


@dataclass
class Case:
    """One block of layers that share an input, with every concept's update and moment.

    A concept whose mapping of moments is empty has recorded nothing.
    """

    block: Block
    updates: list[ConceptUpdate]
    moments: list[dict[str, torch.Tensor]]

    def problem(self, prior=None, prior_weight=0.0) -> InputProblem:
        known = None if prior is None else prior["block.in"]
        return gather(self.block.layers, self.keyed(), self.sums(), known, prior_weight)

    def keyed(self) -> dict[str, ConceptUpdate]:
        return {update.name: update for update in self.updates}

    def sums(self, **arguments) -> InputSums:
        sums = InputSums.empty(self.block.inputs[0].width)
        for update, moments in zip(self.updates, self.moments, strict=True):
            sums.add(update.name, update, moments.get("block.in"), **arguments)
        return sums

    def delta(self, index: int, layer: str) -> np.ndarray:
        """αᵢ ΔWᵢ (d_out, d_in), zero when the concept does not change the layer."""
        update = self.updates[index]
        linear = next(item for item in self.block.layers if item.name == layer)
        if layer not in update.factors:
            return np.zeros((linear.d_out, linear.d_in))
        factors = update.factors[layer]
        return update.weight * (factors.up.double() @ factors.down.double()).numpy()

    def objective(self, delta: np.ndarray, layer: str) -> float:
        """f(D) from the dense definition."""
        grams = [item["block.in"].numpy() for item in self.moments]
        target = sum(self.delta(index, layer) @ gram for index, gram in enumerate(grams))
        return float(((delta @ sum(grams) - 2 * target) * delta).sum())

    def average(self, layer: str) -> np.ndarray:
        return sum(self.delta(i, layer) for i in range(len(self.updates))) / len(self.updates)


def one_block(d_in: int, d_out: int, part: Part, layers: int = 1) -> Block:
    return Block(
        name="block",
        inputs=(LayerInput(name="block.in", width=d_in),),
        layers=tuple(
            Linear(name=f"block.l{k}", input="block.in", part=part, d_in=d_in, d_out=d_out)
            for k in range(layers)
        ),
    )


def factors(rng: np.random.Generator, d_out: int, d_in: int, rank: int) -> Factors:
    return Factors(
        torch.from_numpy(rng.standard_normal((rank, d_in)).astype("f4")),
        torch.from_numpy(rng.standard_normal((d_out, rank)).astype("f4")),
    )


def moment(rng: np.random.Generator, width: int, tokens: int, spectrum: str) -> torch.Tensor:
    """A mean second moment of `tokens` random inputs, rounded to float32 as it is stored."""
    inputs = rng.standard_normal((tokens, width))
    if spectrum == "steep":
        turn = np.linalg.qr(rng.standard_normal((width, width)))[0]
        inputs = (inputs * np.logspace(0, -5, width)) @ turn
    if spectrum == "collinear":
        inputs = rng.standard_normal((1, width)) + 1e-3 * inputs
    if spectrum == "offset":
        inputs = inputs + 3 * rng.standard_normal(width)
    return torch.from_numpy((inputs.T @ inputs / tokens).astype("f4")).double()


def random_case(
    seed: int, *, concepts: int, part: Part, spectrum: str, tokens: int, width: int = 24
) -> Case:
    """A block of two layers; now and then a concept leaves one of them alone."""
    rng = np.random.default_rng(seed)
    block = one_block(width, int(rng.integers(6, 40)), part, layers=2)
    updates = []
    for index in range(concepts):
        rank = int(rng.integers(1, 5))
        chosen = [layer for layer in block.layers if index == 0 or rng.random() < 0.8]
        own = {layer.name: factors(rng, layer.d_out, layer.d_in, rank) for layer in chosen}
        updates.append(ConceptUpdate(f"ada/c{index}", float(rng.uniform(0.5, 1.5)), own))
    shared = moment(rng, width, tokens, spectrum)
    moments = [
        {"block.in": (moment(rng, width, tokens, spectrum) + shared).float().double()}
        for _ in range(concepts)
    ]
    return Case(block, updates, moments)
