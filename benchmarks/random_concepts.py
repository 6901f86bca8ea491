"""Concept packages of random content for any base: valid, and of the sizes that tuning leaves.

LoRA of rank 4 on every attention layer, layer-wise embeddings of two words, moments of every
block. A block of all packages is one unit of work: an input's directions are drawn once for it.
"""

from __future__ import annotations

import multiprocessing
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import torch
from mos_diffusion.adapters import LoraFactors
from mos_diffusion.concept_file import ConceptWeights, save_concept
from mos_diffusion.moments import write_block
from mos_protocol.layer_map import Block, LayerMap, Linear
from mos_protocol.manifest import (
    CONCEPT_FILE,
    MANIFEST_FILE,
    BaseIdentity,
    FileEntry,
    Manifest,
    MomentsSummary,
    TrainingSummary,
    sha256_of,
)
from mos_protocol.moments import moments_path
from random_base import seeded
from spectra import BlockMoments

RANK = 4
# What AdamW at the usual rate leaves of `up` after a thousand steps, about.
_UP_STD = 0.01
_EMBEDDING_STD = 0.013

Progress = Callable[[str], None]


def write_packages(
    layers: LayerMap,
    base_name: str,
    folders: Sequence[tuple[int, Path]],
    seed: int,
    jobs: int = 2,
    on_progress: Progress = lambda message: None,
) -> None:
    """Write a package (number, folder) each; a manifest appears when all of its files are there.

    Memory is that of a few moments per job, whatever the number of packages.
    """
    for _, folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    work = partial(write_in_all, folders=folders, seed=seed)
    # The widest blocks first, so that no worker is left alone with one at the end.
    blocks = sorted(layers.blocks, key=_cost, reverse=True)
    if jobs == 1:
        for name in map(work, blocks):
            on_progress(name)
    else:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(jobs, mp_context=context, initializer=_one_thread) as pool:
            for name in pool.map(work, blocks):
                on_progress(name)
    for number, folder in folders:
        save_concept(concept_weights(layers, number, seed), folder / CONCEPT_FILE)
        manifest = _manifest(layers, base_name, number, folder, seed)
        (folder / MANIFEST_FILE).write_bytes(manifest.to_bytes())


def write_in_all(block: Block, folders: Sequence[tuple[int, Path]], seed: int) -> str:
    """Write one block's moments into every package; return its name."""
    for number, folder in folders:
        path = folder / moments_path(block.name)
        path.parent.mkdir(exist_ok=True)
        write_block(BlockMoments(block, seed, number), path)
    return block.name


def concept_weights(layers: LayerMap, number: int, seed: int) -> ConceptWeights:
    """Factors for every attention layer, and embeddings (2, L, d) per text encoder."""
    words = (f"<bench{number}a>", f"<bench{number}b>")
    embeddings = {}
    for encoder in layers.text_encoders:
        generator = seeded(seed, encoder.name, number)
        shape = (2, len(layers.cross_attention), encoder.width)
        start = torch.randn(2, 1, encoder.width, generator=generator)
        drift = torch.randn(shape, generator=generator)
        embeddings[encoder.name] = _EMBEDDING_STD * (start + 0.5 * drift)
    attention = [layer for block in layers.blocks for layer in block.layers]
    lora = {layer.name: random_factors(layer, seed, number) for layer in attention}
    return ConceptWeights(words, embeddings, lora)


def random_factors(layer: Linear, seed: int, number: int, rank: int = RANK) -> LoraFactors:
    """down (r, d_in) as it starts, up (d_out, r) as it ends; layers differ in how far they went."""
    generator = seeded(seed, layer.name, number, "lora")
    down = (2 * torch.rand(rank, layer.d_in, generator=generator) - 1) / layer.d_in**0.5
    size = _UP_STD * float((0.3 * torch.randn((), generator=generator)).exp())
    return LoraFactors(down, size * torch.randn(layer.d_out, rank, generator=generator))


def _one_thread() -> None:
    torch.set_num_threads(1)


def _cost(block: Block) -> int:
    return sum(item.width**3 for item in block.inputs)


def _manifest(layers: LayerMap, base_name: str, number: int, folder: Path, seed: int) -> Manifest:
    paths = sorted(path for path in folder.rglob("*.safetensors"))
    return Manifest(
        concept=f"bench/concept{number}",
        base=BaseIdentity(name=base_name, digest=layers.digest),
        words=(f"<bench{number}a>", f"<bench{number}b>"),
        class_word="cat",
        rank=RANK,
        training=TrainingSummary(
            images=1,
            steps=0,
            batch_size=1,
            resolution=512,
            seed=seed,
            learning_rate_embedding=0.0,
            learning_rate_text_encoder=0.0,
            learning_rate_unet=0.0,
            noise_offset=0.0,
            prior_penalty=0.0,
            layers="all",
            final_loss=0.0,
        ),
        moments=MomentsSummary(recording="data", passes=1),
        description="Random values of realistic sizes, for measuring.",
        tool="benchmarks/workload.py",
        files=tuple(
            FileEntry(
                path=path.relative_to(folder).as_posix(),
                size=path.stat().st_size,
                sha256=sha256_of(path),
            )
            for path in paths
        ),
    )
