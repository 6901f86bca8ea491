"""Concept packages for a small made-up base, written without torch; and ways to damage them."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
from mos_protocol.layer_map import Block, LayerInput, LayerMap, Linear, Part, TextEncoder
from mos_protocol.manifest import (
    CONCEPT_FILE,
    MANIFEST_FILE,
    BaseIdentity,
    Manifest,
    MomentsSummary,
    TrainingSummary,
    listed_files,
    read_manifest,
)
from mos_protocol.moments import MOMENTS_FORMAT, moments_path
from mos_protocol.tensors import concept_shapes
from safetensors.numpy import load_file, save_file
from tiny_package import coded_moment

PNG = b"\x89PNG\r\n\x1a\n" + b"a picture"
MID_BLOCK = moments_path("unet.mid_block")
RANK = 2


def small_layer_map(digest: str = "ab" * 32) -> LayerMap:
    """Two cross-attention layers, a text encoder of width 8, one UNet block of width 6."""
    return LayerMap(
        digest=digest,
        cross_attention=("unet.mid_block.a.attn2", "unet.mid_block.b.attn2"),
        text_encoders=(TextEncoder(name="text_encoder", width=8, tokens=16, vocabulary=100),),
        blocks=(
            _block("text_encoder", "text_encoder.layers.0", 8, Part.TEXT_ENCODER),
            _block("unet.mid_block", "unet.mid_block.a.attn1", 6, Part.SPATIAL),
        ),
    )


def write_package(
    folder: Path,
    layer_map: LayerMap | None = None,
    *,
    concept: str = "ada/potter",
    words: tuple[str, ...] = ("<potter1>", "<potter2>"),
    seed: int = 0,
    **fields: object,
) -> Path:
    """Write a valid package into the new folder and return the folder."""
    layer_map = layer_map or small_layer_map()
    draw = np.random.default_rng(seed)
    (folder / "moments").mkdir(parents=True)
    shapes = concept_shapes(layer_map, len(words), RANK)
    tensors = {name: draw.random(shape, np.float32) for name, shape in shapes.items()}
    _save(tensors, folder / CONCEPT_FILE)
    for block in layer_map.all_blocks():
        tensors = {}
        for item in block.inputs:
            rows = draw.random((4 * item.width, item.width))
            tensors |= coded_moment(item.name, rows.T @ rows / len(rows))
        _save(tensors, folder / moments_path(block.name))
    (folder / "previews").mkdir()
    (folder / "previews/0.7.png").write_bytes(PNG + bytes([seed % 256]))
    manifest = Manifest(
        concept=concept,
        base=BaseIdentity(name="small", digest=layer_map.digest),
        words=words,
        class_word="man",
        rank=RANK,
        training=TrainingSummary(
            images=6,
            steps=10,
            batch_size=4,
            resolution=64,
            seed=seed,
            learning_rate_embedding=1e-3,
            learning_rate_text_encoder=1e-5,
            learning_rate_unet=1e-4,
            noise_offset=0.01,
            prior_penalty=0,
            layers="all",
            final_loss=0.1,
        ),
        moments=MomentsSummary(recording="data", passes=1),
        tool="tests",
        files=listed_files(folder),
        **fields,
    )
    (folder / MANIFEST_FILE).write_bytes(manifest.to_bytes())
    return folder


def reseal(folder: Path, **changes: object) -> None:
    """Have the manifest list the files as they are now: a hostile client knows how to hash."""
    manifest = read_manifest(folder).model_copy(update={"files": listed_files(folder), **changes})
    (folder / MANIFEST_FILE).write_bytes(manifest.to_bytes())


def edit_manifest(folder: Path, change: Callable[[dict], None]) -> None:
    """Change the manifest as plain JSON, past every check."""
    path = folder / MANIFEST_FILE
    content = json.loads(path.read_bytes())
    change(content)
    path.write_text(json.dumps(content))


def edit_tensors(path: Path, change: Callable[[dict[str, np.ndarray]], None]) -> None:
    """Change a safetensors file's tensors."""
    tensors = dict(load_file(path))
    change(tensors)
    _save(tensors, path)


def edit_header(path: Path, change: Callable[[dict], object]) -> None:
    """Change a safetensors header as JSON; the data stays. What `change` returns replaces it."""
    raw = path.read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8 : 8 + length])
    replacement = change(header)
    written = replacement if isinstance(replacement, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(written)) + written + raw[8 + length :])


def _save(tensors: dict[str, np.ndarray], path: Path) -> None:
    kind = "mos-concept/1" if path.name == CONCEPT_FILE else MOMENTS_FORMAT
    save_file(tensors, path, metadata={"format": kind})


def _block(name: str, path: str, width: int, part: Part) -> Block:
    inputs = (LayerInput(name=f"{path}.in", width=width), LayerInput(name=f"{path}.out", width=4))
    layers = (
        Linear(name=f"{path}.to_q", input=f"{path}.in", part=part, d_in=width, d_out=width),
        Linear(name=f"{path}.to_out.0", input=f"{path}.out", part=part, d_in=4, d_out=width),
    )
    return Block(name=name, inputs=inputs, layers=layers)
