"""What the tensors of a package must be, and the checks that need no torch.

The header of a safetensors file is read and compared with what the base's layer map allows before
any tensor is: names, dtypes, shapes, and that the data area is exactly as long as they say.
Legend: W words, L cross-attention layers, d width, r rank.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mos_protocol.errors import InvalidPackage
from mos_protocol.layer_map import LayerMap, Part

MAX_HEADER_BYTES = 4 * 1024 * 1024
MAX_METADATA_ENTRIES = 8
MAX_METADATA_CHARS = 200
# Far above what tuning produces (entries around 1), far below what overflows fp16 products.
MAX_ABS_WEIGHT = 1e3
CONCEPT_FORMAT = "mos-concept/1"
_CHUNK = 1 << 22
# Metadata ends up in logs and on pages; nothing there needs markup, quotes or control codes.
_PLAIN = re.compile(r"[A-Za-z0-9 ._/:+@-]*")
_NUMPY_DTYPES: dict[str, np.dtype[Any]] = {
    "U8": np.dtype("u1"),
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
}


@dataclass(frozen=True)
class TensorSpec:
    """One tensor of a safetensors file: dtype as the format spells it, and shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        return _NUMPY_DTYPES[self.dtype].itemsize * prod(self.shape)


@dataclass(frozen=True)
class TensorEntry:
    """Where a tensor lies in its file: byte offsets from the start of the file."""

    spec: TensorSpec
    begin: int
    end: int


def concept_shapes(
    layer_map: LayerMap,
    words: int,
    rank: int,
    ranks: Mapping[str, int] | None = None,
    parts: Collection[Part] = frozenset(Part),
) -> dict[str, tuple[int, ...]]:
    """Every tensor `concept.safetensors` may hold: embeddings (W, L, d) and LoRA factors.

    A layer's factors are `<layer>.lora.down` (r, d_in) and `<layer>.lora.up` (d_out, r), of the
    rank in `ranks` where that names the layer. Only layers of `parts` have any.
    """
    shapes: dict[str, tuple[int, ...]] = {
        f"{encoder.name}.embeddings": (words, len(layer_map.cross_attention), encoder.width)
        for encoder in layer_map.text_encoders
    }
    for layer in (layer for layer in layer_map.layers() if layer.part in parts):
        own = (ranks or {}).get(layer.name, rank)
        shapes[f"{layer.name}.lora.down"] = (own, layer.d_in)
        shapes[f"{layer.name}.lora.up"] = (layer.d_out, own)
    return shapes


def layer_ranks(entries: Mapping[str, TensorEntry], rank: int, label: str) -> dict[str, int]:
    """The rank that a concept's file has in each layer; raise `InvalidPackage` above `rank`."""
    ranks = {}
    for name, entry in entries.items():
        layer, dot, half = name.rpartition(".lora.")
        if not dot or half != "down" or len(entry.spec.shape) != 2:
            continue
        ranks[layer] = entry.spec.shape[0]
        if not 1 <= ranks[layer] <= rank:
            raise InvalidPackage(
                label,
                f"tensor {name[:200]!r} has rank {ranks[layer]}; the manifest says 1 to {rank}",
            )
    return ranks


def read_header(path: Path, label: str, kind: str | None = None) -> dict[str, TensorEntry]:
    """Read and check the header of a safetensors file; no tensor is read.

    Raises `InvalidPackage` (naming `label`) for anything but bytes and float16/float32 tensors
    that fill the data area exactly, without gap or overlap, and for a file that does not say it
    is a `kind`.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(8)
        if len(prefix) < 8:
            raise InvalidPackage(label, "too short to be a safetensors file")
        (length,) = struct.unpack("<Q", prefix)
        if length > MAX_HEADER_BYTES:
            raise InvalidPackage(
                label, f"header of {length} bytes; at most {MAX_HEADER_BYTES} are allowed"
            )
        if 8 + length > size:
            raise InvalidPackage(label, "truncated inside its header")
        raw = file.read(length)
    try:
        # From bytes, json would also take UTF-16 and a byte order mark, which safetensors refuses.
        header = json.loads(raw.decode(), object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError):
        raise InvalidPackage(label, "header is no valid JSON") from None
    if not isinstance(header, dict) or raw[:1] != b"{":
        raise InvalidPackage(label, "header is no JSON object")
    _check_metadata(header.pop("__metadata__", {}), label, kind)
    start = 8 + length
    entries = {name: _entry(name, item, start, label) for name, item in header.items()}
    _check_layout(entries, start, size, label)
    return entries


def check_tensors(
    entries: Mapping[str, TensorEntry],
    allowed: Mapping[str, tuple[int, ...]],
    required: set[str],
    label: str,
    dtypes: tuple[str, ...] = ("F32", "F16"),
) -> None:
    """Compare a header with the allow-list; raise `InvalidPackage` at the first difference."""
    for name, entry in entries.items():
        if name not in allowed:
            raise InvalidPackage(label, f"unknown tensor {name[:200]!r}")
        if entry.spec.shape != allowed[name]:
            raise InvalidPackage(
                label,
                f"tensor {name!r} has shape {entry.spec.shape}; "
                f"the base model needs {allowed[name]}",
            )
        if entry.spec.dtype not in dtypes:
            raise InvalidPackage(
                label, f"tensor {name!r} is {entry.spec.dtype}; expected {' or '.join(dtypes)}"
            )
    missing = sorted(required - entries.keys())
    if missing:
        raise InvalidPackage(label, f"lacks tensor {missing[0]!r} ({len(missing)} missing in all)")


def check_values(path: Path, entries: Mapping[str, TensorEntry], limit: float, label: str) -> None:
    """Check that every number is finite and at most `limit` in size, in bounded memory."""
    with path.open("rb") as file:
        for name, entry in entries.items():
            dtype = _NUMPY_DTYPES[entry.spec.dtype]
            file.seek(entry.begin)
            left = entry.end - entry.begin
            while left:
                data = file.read(min(_CHUNK, left))
                if not data:
                    raise InvalidPackage(label, f"truncated inside tensor {name!r}")
                left -= len(data)
                worst = np.abs(np.frombuffer(data, dtype)).max(initial=0)
                if not np.isfinite(worst):
                    raise InvalidPackage(label, f"tensor {name!r} has values that are not finite")
                if worst > limit:
                    raise InvalidPackage(
                        label, f"tensor {name!r} has a value of {worst:.3g}; at most {limit:g}"
                    )


def read_tensor(path: Path, entry: TensorEntry) -> NDArray[np.float64]:
    """A tensor's values in float64."""
    with path.open("rb") as file:
        file.seek(entry.begin)
        data = file.read(entry.end - entry.begin)
    values = np.frombuffer(data, _NUMPY_DTYPES[entry.spec.dtype])
    return values.reshape(entry.spec.shape).astype(np.float64)


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    keys = dict(pairs)
    if len(keys) != len(pairs):
        raise ValueError("repeated key")
    return keys


def _check_metadata(metadata: object, label: str, kind: str | None) -> None:
    if not isinstance(metadata, dict) or len(metadata) > MAX_METADATA_ENTRIES:
        raise InvalidPackage(label, "metadata is not a few short plain strings")
    for key, value in metadata.items():
        fine = isinstance(value, str) and len(key) + len(value) <= MAX_METADATA_CHARS
        if not fine or not _PLAIN.fullmatch(key + value):
            raise InvalidPackage(label, "metadata is not a few short plain strings")
    if kind is not None and metadata.get("format") != kind:
        raise InvalidPackage(label, f"says it is {metadata.get('format')!r}; expected {kind!r}")


def _is_natural(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 48


def _entry(name: str, item: object, start: int, label: str) -> TensorEntry:
    shown = name[:200]
    if not isinstance(item, dict) or item.keys() != {"dtype", "shape", "data_offsets"}:
        raise InvalidPackage(label, f"tensor {shown!r} is described wrongly")
    dtype, shape, offsets = item["dtype"], item["shape"], item["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _NUMPY_DTYPES:
        raise InvalidPackage(label, f"tensor {shown!r} is not of type U8, F16 or F32")
    for numbers in (shape, offsets):
        if not isinstance(numbers, list) or len(numbers) > 4 or not all(map(_is_natural, numbers)):
            raise InvalidPackage(label, f"tensor {shown!r} has no valid shape or offsets")
    spec = TensorSpec(dtype, tuple(shape))
    if len(offsets) != 2 or offsets[1] - offsets[0] != spec.nbytes:
        raise InvalidPackage(label, f"tensor {shown!r} has offsets that contradict its shape")
    return TensorEntry(spec, start + offsets[0], start + offsets[1])


def _check_layout(entries: Mapping[str, TensorEntry], start: int, size: int, label: str) -> None:
    position = start
    for entry in sorted(entries.values(), key=lambda entry: (entry.begin, entry.end)):
        if entry.begin != position:
            raise InvalidPackage(label, "tensors overlap or leave a gap")
        position = entry.end
    if position != size:
        raise InvalidPackage(
            label, f"{size} bytes long, but its header describes {position}: damaged or truncated"
        )
