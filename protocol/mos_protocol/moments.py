"""The moments file `mos-moments/2`: what it may hold, how large it may be, and its checks.

Per layer input of width d it holds either a coded moment (see docs/concept-format.md)

    <input>.factor        U8  (bytes,)  coded integers n (k, d)
    <input>.factor_scale  F32 (k,)      c
    <input>.diagonal      F32 (d,)      g
    <input>.scale         F32 (d,)      s
    <input>.residual      U8  (bytes,)  coded integers q above the diagonal, row by row

or the inputs themselves, which are reduced to a moment on arrival:

    <input>.activations   F16 (n, d)    n tokens

Nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mos_protocol.errors import InvalidPackage
from mos_protocol.integer_coding import check_integers, longest_code
from mos_protocol.layer_map import Block, LayerInput
from mos_protocol.tensors import TensorEntry, TensorSpec, check_values, read_header

MOMENTS_FORMAT = "mos-moments/2"
CODED = ("factor", "factor_scale", "diagonal", "scale", "residual")
RAW = "activations"
# Far above what trained models feed their layers (squares up to 1e6), far below fp32's end.
MAX_ABS_MOMENT = 1e8
# Neither s² nor c² s² is more than about a diagonal entry.
MAX_ABS_SCALE = 1e5
MAX_ABS_ACTIVATION = 1e4
MAX_ACTIVATIONS = 1 << 17
_FLOATS = {"factor_scale": MAX_ABS_SCALE, "diagonal": MAX_ABS_MOMENT, "scale": MAX_ABS_SCALE}


def moments_path(block: str) -> str:
    """The path of a block's moments file inside a package."""
    return f"moments/{block}.safetensors"


def block_of(path: str) -> str:
    """The block that the moments file at this path of a package is for."""
    return path.removeprefix("moments/").removesuffix(".safetensors")


def largest_factor(width: int) -> int:
    """The most columns that a coded moment of this width may have."""
    return (width + 1) // 2


def pairs(width: int) -> int:
    """Entries above the diagonal of a (width, width) matrix."""
    return width * (width - 1) // 2


def moments_size_limit(block: Block, *, raw: bool) -> int:
    """The most bytes that a block's moments file can need, header included."""
    one = _raw_limit if raw else _coded_limit
    return sum(one(item.width) + 512 * (len(CODED) + 1) for item in block.inputs) + 512


def check_moments(path: Path, block: Block, label: str, *, raw: bool = False) -> None:
    """Check a block's moments file from end to end; raise `InvalidPackage`.

    Every input of the block must be there, coded (or, if `raw`, as activations), and nothing
    else; every number finite and within bounds, and exactly as many coded integers as the width
    calls for.
    """
    left = read_header(path, label, MOMENTS_FORMAT)
    for item in block.inputs:
        rows = left.pop(f"{item.name}.{RAW}", None) if raw else None
        if rows is not None:
            _check_raw(path, f"{item.name}.{RAW}", rows, item.width, label)
            continue
        parts = {part: left.pop(f"{item.name}.{part}", None) for part in CODED}
        missing = [part for part, entry in parts.items() if entry is None]
        if missing:
            raise InvalidPackage(label, f"lacks tensor '{item.name}.{missing[0]}'")
        found = {part: entry for part, entry in parts.items() if entry is not None}
        _check_coded(path, item, found, label)
    if left:
        raise InvalidPackage(label, f"unknown tensor {min(left)[:200]!r}")


def is_raw(path: Path, label: str) -> bool:
    """Whether a moments file holds activations of any input; reads the header alone."""
    return any(name.endswith(f".{RAW}") for name in read_header(path, label, MOMENTS_FORMAT))


def _check_raw(path: Path, name: str, entry: TensorEntry, width: int, label: str) -> None:
    shape = entry.spec.shape
    fits = len(shape) == 2 and shape[1] == width and 1 <= shape[0] <= MAX_ACTIVATIONS
    if entry.spec.dtype != "F16" or not fits:
        raise InvalidPackage(
            label,
            f"tensor {name!r} is {entry.spec.dtype} {shape}; expected F16 (n, {width}) "
            f"with n from 1 to {MAX_ACTIVATIONS}",
        )
    check_values(path, {name: entry}, MAX_ABS_ACTIVATION, label)


def _check_coded(
    path: Path, item: LayerInput, parts: Mapping[str, TensorEntry], label: str
) -> None:
    shape = parts["factor_scale"].spec.shape
    columns = shape[0] if len(shape) == 1 else -1
    if not 0 <= columns <= largest_factor(item.width):
        raise InvalidPackage(
            label,
            f"tensor '{item.name}.factor_scale' has shape {shape}; "
            f"expected at most {largest_factor(item.width)} columns",
        )
    counts = {"factor": item.width * columns, "residual": pairs(item.width)}
    lengths = {"factor_scale": columns, "diagonal": item.width, "scale": item.width}
    for part, entry in parts.items():
        name = f"{item.name}.{part}"
        if part in counts:
            _check_integers(path, name, entry, counts[part], label)
        else:
            _check_numbers(path, name, entry, lengths[part], _FLOATS[part], label)


def _check_integers(path: Path, name: str, entry: TensorEntry, count: int, label: str) -> None:
    length = entry.spec.shape[0] if len(entry.spec.shape) == 1 else -1
    if entry.spec.dtype != "U8" or not 1 <= length <= longest_code(count):
        raise InvalidPackage(
            label,
            f"tensor {name!r} is {entry.spec.dtype} {entry.spec.shape}; "
            f"expected 1 to {longest_code(count)} bytes of U8",
        )
    try:
        check_integers(_read(path, entry), count)
    except ValueError as error:
        raise InvalidPackage(label, f"tensor {name!r}: {error}") from None


def _check_numbers(
    path: Path, name: str, entry: TensorEntry, length: int, limit: float, label: str
) -> None:
    if entry.spec != TensorSpec("F32", (length,)):
        raise InvalidPackage(
            label,
            f"tensor {name!r} is {entry.spec.dtype} {entry.spec.shape}; expected F32 ({length},)",
        )
    check_values(path, {name: entry}, limit, label)
    if np.frombuffer(_read(path, entry), "<f4").min(initial=0) < 0:
        raise InvalidPackage(label, f"tensor {name!r} has a negative value")


def _read(path: Path, entry: TensorEntry) -> bytes:
    with path.open("rb") as file:
        file.seek(entry.begin)
        return file.read(entry.end - entry.begin)


def _coded_limit(width: int) -> int:
    columns = largest_factor(width)
    integers = longest_code(width * columns) + longest_code(pairs(width))
    return integers + 4 * (columns + 2 * width)


def _raw_limit(width: int) -> int:
    return 2 * MAX_ACTIVATIONS * width
