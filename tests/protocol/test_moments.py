"""Moments files, honest and hostile: what the checks let through needs no torch to be judged."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

import numpy as np
import pytest
from mos_protocol.errors import InvalidPackage
from mos_protocol.integer_coding import deflate_integers, longest_code
from mos_protocol.layer_map import Block, LayerInput
from mos_protocol.moments import (
    MAX_ACTIVATIONS,
    MOMENTS_FORMAT,
    block_of,
    check_moments,
    is_raw,
    largest_factor,
    moments_path,
    moments_size_limit,
    pairs,
)
from safetensors.numpy import save_file
from tiny_package import coded_moment

BLOCK = Block(
    name="unet.mid_block",
    inputs=(LayerInput(name="mid.in", width=8), LayerInput(name="mid.out", width=5)),
    layers=(),
)
LABEL = "moments/unet.mid_block.safetensors"


def coded(values: np.ndarray) -> np.ndarray:
    return np.frombuffer(deflate_integers(values.astype(np.int32)), np.uint8)


def good() -> dict[str, np.ndarray]:
    tensors: dict[str, np.ndarray] = {}
    for item in BLOCK.inputs:
        rows = np.random.default_rng(0).normal(size=(50, item.width))
        tensors |= coded_moment(item.name, rows.T @ rows / 50)
    return tensors


def raw(count: int = 3) -> dict[str, np.ndarray]:
    return {
        f"{item.name}.activations": np.ones((count, item.width), np.float16)
        for item in BLOCK.inputs
    }


def written(folder: Path, tensors: dict[str, np.ndarray], kind: str = MOMENTS_FORMAT) -> Path:
    save_file(tensors, folder / "a", metadata={"format": kind})
    return folder / "a"


def refusal(folder: Path, changes: dict[str, np.ndarray | None], **options: bool) -> str:
    """The reason for refusing a good file after these changes; None takes a tensor away."""
    tensors = {name: array for name, array in (good() | changes).items() if array is not None}
    with pytest.raises(InvalidPackage) as caught:
        check_moments(written(folder, tensors), BLOCK, LABEL, **options)
    assert caught.value.file == LABEL
    return caught.value.reason


def test_a_good_file_passes_and_is_within_the_size_limit(tmp_path):
    path = written(tmp_path, good())
    check_moments(path, BLOCK, LABEL)
    assert path.stat().st_size <= moments_size_limit(BLOCK, raw=False)
    assert not is_raw(path, LABEL)


def test_the_largest_file_that_passes_is_within_the_size_limit(tmp_path):
    """Noise that does not deflate, three bytes each, in as many columns as there may be."""
    random = np.random.default_rng(0)
    tensors = {}
    for item in BLOCK.inputs:
        k = largest_factor(item.width)
        wide = random.integers(-(1 << 22), 1 << 22, k * item.width + pairs(item.width))
        tensors |= good_parts(item.name, item.width)
        tensors[f"{item.name}.factor_scale"] = np.ones(k, np.float32)
        tensors[f"{item.name}.factor"] = coded(wide[: k * item.width])
        tensors[f"{item.name}.residual"] = coded(wide[k * item.width :])
    path = written(tmp_path, tensors)
    check_moments(path, BLOCK, LABEL)
    assert path.stat().st_size <= moments_size_limit(BLOCK, raw=False)


def good_parts(name: str, width: int) -> dict[str, np.ndarray]:
    return coded_moment(name, np.eye(width))


def test_a_moment_of_zeros_passes(tmp_path):
    tensors = good() | coded_moment("mid.in", np.zeros((8, 8)))
    tensors["mid.in.scale"] = np.zeros(8, np.float32)
    check_moments(written(tmp_path, tensors), BLOCK, LABEL)


def test_raw_activations_pass_where_they_are_allowed(tmp_path):
    path = written(tmp_path, raw())
    check_moments(path, BLOCK, LABEL, raw=True)
    assert is_raw(path, LABEL)
    with pytest.raises(InvalidPackage, match=r"lacks tensor 'mid\.in\.factor'"):
        check_moments(path, BLOCK, LABEL)


def test_one_input_raw_and_the_other_coded_pass(tmp_path):
    tensors = good() | raw()
    kept = {name: array for name, array in tensors.items() if not name.startswith("mid.in.")}
    kept.pop("mid.out.activations")
    kept["mid.in.activations"] = tensors["mid.in.activations"]
    check_moments(written(tmp_path, kept), BLOCK, LABEL, raw=True)


F32 = np.float32


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"mid.in.scale": None}, "lacks tensor 'mid.in.scale'"),
        ({"mid.in": np.zeros(3, F32)}, "unknown tensor 'mid.in'"),
        ({"mid.other.scale": np.zeros(8, F32)}, "unknown tensor 'mid.other.scale'"),
        ({"mid.in.activations": np.ones((3, 8), np.float16)}, "unknown tensor"),
        ({"mid.in.scale": np.zeros(7, F32)}, r"expected F32 \(8,\)"),
        ({"mid.in.scale": np.zeros(8, np.float16)}, r"is F16 \(8,\)"),
        ({"mid.in.scale": np.full(8, np.nan, F32)}, "not finite"),
        ({"mid.in.scale": np.full(8, 1e6, F32)}, "at most 100000"),
        ({"mid.in.scale": np.full(8, -1, F32)}, "negative"),
        ({"mid.in.diagonal": np.full(8, np.inf, F32)}, "not finite"),
        ({"mid.in.diagonal": np.full(8, 1e9, F32)}, "at most 1e"),
        ({"mid.in.diagonal": np.full(8, -1e-3, F32)}, "negative"),
        ({"mid.in.factor_scale": np.ones(5, F32)}, "at most 4 columns"),
        ({"mid.in.factor_scale": np.ones((1, 1), F32)}, "at most 4 columns"),
        ({"mid.in.factor_scale": np.ones(2, np.float16)}, r"expected F32 \(2,\)"),
        ({"mid.in.factor_scale": np.full(1, np.nan, F32), "mid.in.factor": coded(np.ones(8))},
         "not finite"),
        ({"mid.in.factor_scale": np.ones(2, F32), "mid.in.factor": coded(np.ones(8))},
         "mid.in.factor.*fewer"),
        ({"mid.in.factor": coded(np.ones(8))}, "mid.in.factor.*more"),
        ({"mid.in.factor": np.zeros(0, np.uint8)}, "expected 1 to"),
        ({"mid.in.residual": np.zeros(28, F32)}, "expected 1 to .* bytes of U8"),
        ({"mid.in.residual": np.zeros((1, 28), np.uint8)}, "expected 1 to"),
        ({"mid.in.residual": np.zeros(longest_code(28) + 1, np.uint8)}, "expected 1 to"),
        ({"mid.in.residual": coded(np.ones(27))}, "fewer"),
        ({"mid.in.residual": coded(np.ones(29))}, "more"),
        ({"mid.in.residual": coded(np.ones(28))[:-2]}, "early"),
        ({"mid.in.residual": np.frombuffer(b"\x01\xff\xff", np.uint8)}, "damaged"),
        ({"mid.in.residual": np.frombuffer(b"\x09\x03\x00", np.uint8)}, "9 bytes per integer"),
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_the_reason(tmp_path, changes, reason):
    assert re.search(reason, refusal(tmp_path, changes))


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (np.ones((3, 7), np.float16), r"expected F16 \(n, 8\)"),
        (np.ones((3, 8), F32), "expected F16"),
        (np.ones(8, np.float16), "expected F16"),
        (np.ones((0, 8), np.float16), "n from 1 to"),
        (np.full((3, 8), np.nan, np.float16), "not finite"),
        (np.full((3, 8), 2e4, np.float16), "at most 10000"),
    ],
)
def test_wrong_activations_are_refused_with_the_reason(tmp_path, rows, reason):
    with pytest.raises(InvalidPackage, match=reason):
        check_moments(
            written(tmp_path, raw() | {"mid.in.activations": rows}), BLOCK, LABEL, raw=True
        )


def test_too_many_activations_are_refused(tmp_path):
    wide = Block(name="a", inputs=(LayerInput(name="b.in", width=1),), layers=())
    rows = np.zeros((MAX_ACTIVATIONS + 1, 1), np.float16)
    with pytest.raises(InvalidPackage, match=f"n from 1 to {MAX_ACTIVATIONS}"):
        check_moments(written(tmp_path, {"b.in.activations": rows}), wide, LABEL, raw=True)
    path = written(tmp_path, {"b.in.activations": rows[1:]})
    check_moments(path, wide, LABEL, raw=True)
    assert path.stat().st_size <= moments_size_limit(wide, raw=True)


def test_a_bomb_is_refused(tmp_path):
    coder = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = b"\x01" + coder.compress(bytes(40_000)) + coder.flush()
    assert len(data) < longest_code(28)
    bomb = np.frombuffer(data, np.uint8)
    assert "more than expected" in refusal(tmp_path, {"mid.in.residual": bomb})


def test_a_file_of_another_format_is_refused(tmp_path):
    path = written(tmp_path, good(), "mos-moments/1")
    with pytest.raises(InvalidPackage, match="expected 'mos-moments/2'"):
        check_moments(path, BLOCK, LABEL)
    with pytest.raises(InvalidPackage, match="expected 'mos-moments/2'"):
        is_raw(path, LABEL)


def test_the_path_of_a_block_leads_back_to_it():
    assert block_of(moments_path("unet.up_blocks.1")) == "unet.up_blocks.1"
