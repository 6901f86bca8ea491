"""A concept package for an invented base of a few layers, written without torch.

`tiny_layer_map()` is the base, `write_package(folder)` a package that passes every check. Tests
that need a damaged one change its files and call `relist` where the manifest should agree.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from pathlib import Path

import numpy as np
from mos_protocol.integer_coding import deflate_integers
from mos_protocol.layer_map import Block, LayerInput, LayerMap, Linear, Part, TextEncoder
from mos_protocol.manifest import (
    CONCEPT_FILE,
    MANIFEST_FILE,
    BaseIdentity,
    Manifest,
    MomentsSummary,
    TrainingSummary,
    listed_files,
    parse_manifest,
)
from mos_protocol.methods import METHODS, Method
from mos_protocol.moments import MOMENTS_FORMAT, moments_path
from mos_protocol.tensors import concept_shapes
from safetensors.numpy import load_file, save_file

WORDS = ("<ball1>", "<ball2>")
RANK = 2
KEYS_AND_VALUES = (".attn2.to_k", ".attn2.to_v")
BASE_DIGEST = hashlib.sha256(b"tiny base").hexdigest()


def tiny_layer_map(digest: str = BASE_DIGEST) -> LayerMap:
    """A text encoder of one layer and one UNet block with one cross-attention layer."""
    text = "text_encoder.encoder.layers.0.self_attn"
    unet = "unet.mid_block.attentions.0.transformer_blocks.0.attn2"
    return LayerMap(
        digest=digest,
        cross_attention=(unet,),
        text_encoders=(TextEncoder(name="text_encoder", width=8, tokens=16, vocabulary=100),),
        blocks=(
            Block(
                name="text_encoder",
                inputs=(LayerInput(name=f"{text}.in", width=8),),
                layers=tuple(
                    Linear(
                        name=f"{text}.{projection}",
                        input=f"{text}.in",
                        part=Part.TEXT_ENCODER,
                        d_in=8,
                        d_out=8,
                    )
                    for projection in ("q_proj", "k_proj")
                ),
            ),
            Block(
                name="unet.mid_block",
                inputs=(LayerInput(name=f"{unet}.context", width=8),),
                layers=(
                    Linear(
                        name=f"{unet}.to_k",
                        input=f"{unet}.context",
                        part=Part.CROSS_KV,
                        d_in=8,
                        d_out=12,
                    ),
                ),
            ),
        ),
    )


def write_package(
    folder: Path,
    layer_map: LayerMap | None = None,
    *,
    concept: str = "ada/ball",
    base_name: str = "tiny",
    seed: int = 0,
) -> Manifest:
    """Write a package of random weights and of moments that are means of outer products."""
    layer_map = layer_map or tiny_layer_map()
    random = np.random.default_rng(seed)
    for part in ("moments", "previews"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    shapes = concept_shapes(layer_map, len(WORDS), RANK)
    weights = {name: random.normal(0, 0.1, shape) for name, shape in shapes.items()}
    _save(weights, folder / CONCEPT_FILE, "mos-concept/1")
    for block in layer_map.all_blocks():
        moments: dict[str, np.ndarray] = {}
        for item in block.inputs:
            moments |= coded_moment(item.name, _moment(random, item.width))
        _save(moments, folder / moments_path(block.name), MOMENTS_FORMAT)
    (folder / "previews/1.0.png").write_bytes(tiny_png())
    manifest = Manifest(
        concept=concept,
        base=BaseIdentity(name=base_name, digest=layer_map.digest),
        words=WORDS,
        class_word="ball",
        rank=RANK,
        training=_training(),
        moments=MomentsSummary(recording="data", passes=1),
        tool="mos-client 0.1.0",
        files=listed_files(folder),
    )
    (folder / MANIFEST_FILE).write_bytes(manifest.to_bytes())
    return manifest


def coded_moment(name: str, matrix: np.ndarray) -> dict[str, np.ndarray]:
    """The arrays of a coded moment (d, d), without columns: six digits of every entry."""
    width = len(matrix)
    scale = np.sqrt(np.diag(matrix)) / 1000
    scale[scale == 0] = 1e-9
    rows, columns = np.triu_indices(width, 1)
    rest = np.rint(matrix[rows, columns] / scale[rows] / scale[columns]).astype(np.int32)
    return {
        f"{name}.factor": np.frombuffer(deflate_integers(np.zeros(0, np.int32)), np.uint8),
        f"{name}.factor_scale": np.zeros(0, np.float32),
        f"{name}.diagonal": np.diag(matrix).astype(np.float32),
        f"{name}.scale": scale.astype(np.float32),
        f"{name}.residual": np.frombuffer(deflate_integers(rest), np.uint8),
    }


def relist(folder: Path) -> Manifest:
    """Make the manifest agree with the files: what a careful attacker would do."""
    manifest = parse_manifest((folder / MANIFEST_FILE).read_bytes())
    manifest = manifest.model_copy(update={"files": listed_files(folder)})
    (folder / MANIFEST_FILE).write_bytes(manifest.to_bytes())
    return manifest


def as_method(folder: Path, method: Method, *, rank: int | None = None) -> Manifest:
    """Make the package one of the method: its first word alone, and factors where it has some.

    `rank` is that of the factors, by default the method's own; other values are random.
    """
    recipe, path = METHODS[method], folder / CONCEPT_FILE
    random = np.random.default_rng(0)
    kept: dict[str, np.ndarray] = {}
    stored = load_file(path)
    for layer in [name.removesuffix(".lora.up") for name in stored if name.endswith(".lora.up")]:
        sides = stored[f"{layer}.lora.up"].shape[0], stored[f"{layer}.lora.down"].shape[1]
        own = rank or (min(sides) if recipe.full_rank else RANK)
        if recipe.low_rank or (recipe.full_rank and layer.endswith(KEYS_AND_VALUES)):
            kept[f"{layer}.lora.up"] = random.normal(0, 0.1, (sides[0], own))
            kept[f"{layer}.lora.down"] = random.normal(0, 0.1, (own, sides[1]))
    embeddings = {name: rows[:1] for name, rows in stored.items() if name.endswith(".embeddings")}
    _save(embeddings | kept, path, "mos-concept/1")
    manifest = relist(folder)
    assert manifest.training is not None
    ranks = [len(values) for name, values in kept.items() if name.endswith(".down")]
    changes = {
        "method": method,
        "words": manifest.words[:1],
        "rank": max(ranks, default=0),
        "training": manifest.training.model_copy(update={"layers": recipe.layers[0]}),
    }
    manifest = manifest.model_copy(update=changes)
    (folder / MANIFEST_FILE).write_bytes(manifest.to_bytes())
    return manifest


def tiny_png() -> bytes:
    """A valid PNG of one grey pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"\x00\x80")), chunk(b"IEND", b""))
    )


def _moment(random: np.random.Generator, width: int) -> np.ndarray:
    rows = random.normal(size=(4 * width, width))
    return rows.T @ rows / len(rows)


def _save(tensors: dict[str, np.ndarray], path: Path, kind: str) -> None:
    stored = {
        name: array if array.dtype == np.uint8 else array.astype(np.float32)
        for name, array in tensors.items()
    }
    save_file(stored, path, metadata={"format": kind})


def _training() -> TrainingSummary:
    return TrainingSummary(
        images=4,
        steps=10,
        batch_size=2,
        resolution=64,
        seed=0,
        learning_rate_embedding=1e-3,
        learning_rate_text_encoder=1e-5,
        learning_rate_unet=1e-4,
        noise_offset=0.01,
        prior_penalty=0.0,
        layers="all",
        final_loss=0.1,
        loss_curve=(0.2, 0.1),
    )
