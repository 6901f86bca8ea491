"""Packages of random concepts for the tiny base, and readers of what a fusion wrote."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
from mos_diffusion.moments import read_moments
from mos_protocol.layer_map import LayerMap
from mos_protocol.manifest import CONCEPT_FILE, MANIFEST_FILE, Manifest
from mos_protocol.moments import moments_path
from mos_protocol.part_weights import PartWeights
from safetensors.numpy import load_file, save_file
from tiny_package import relist, write_package


def write_concept(
    folder: Path, layer_map: LayerMap, seed: int, *, drop: str | None = None, **changes
) -> Manifest:
    """A package called ada/c<seed> with the words <c<seed>a> <c<seed>b>.

    `drop` leaves out the LoRA of all layers whose name contains it.
    """
    write_package(folder, layer_map, concept=f"ada/c{seed}", seed=seed)
    if drop is not None:
        path = folder / CONCEPT_FILE
        kept = {
            name: value
            for name, value in load_file(path).items()
            if not (drop in name and ".lora." in name)
        }
        save_file(kept, path, metadata={"format": "mos-concept/1"})
    words = (f"<c{seed}a>", f"<c{seed}b>")
    manifest = relist(folder).model_copy(update={"words": words, **changes})
    (folder / MANIFEST_FILE).write_bytes(manifest.to_bytes())
    return manifest


def hashes(folder: Path) -> dict[str, str]:
    """Path → sha256 of every file."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def dense_moments(package: Path, layer_map: LayerMap) -> dict[str, np.ndarray]:
    """Every moment (d, d) float64 that a package has."""
    found = {}
    for block in layer_map.all_blocks():
        path = package / moments_path(block.name)
        if path.is_file():
            found.update({name: value.numpy() for name, value in read_moments(path).items()})
    return found


def weighted(packages, weights=None) -> list[tuple[Path, PartWeights]]:
    """What `fuse_local` takes: every package with its weight, 1 unless given."""
    weights = weights or [1.0] * len(packages)
    return [
        (package, PartWeights.uniform(weight))
        for package, weight in zip(packages, weights, strict=True)
    ]


def dense_updates(package: Path, layer_map: LayerMap) -> dict[str, np.ndarray]:
    """ΔW (d_out, d_in) float64 of every layer; zero where the package has no LoRA."""
    stored = load_file(package / CONCEPT_FILE)
    found = {}
    for layer in layer_map.layers():
        found[layer.name] = np.zeros((layer.d_out, layer.d_in))
        if f"{layer.name}.lora.up" in stored:
            up, down = (stored[f"{layer.name}.lora.{half}"].astype("f8") for half in ("up", "down"))
            found[layer.name] = up @ down
    return found


def published_deltas(model: Path, layer_map: LayerMap) -> dict[str, np.ndarray]:
    """D (d_out, d_in) float64 of every layer from `delta.safetensors` alone."""
    stored = load_file(model / "delta.safetensors")
    found = {}
    for layer in layer_map.layers():
        found[layer.name] = np.zeros((layer.d_out, layer.d_in))
        if f"{layer.name}.up" in stored:
            up, down = (stored[f"{layer.name}.{half}"].astype("f8") for half in ("up", "down"))
            found[layer.name] = up @ down
    return found


def read_json(path: Path) -> dict:
    return json.loads(path.read_text())
