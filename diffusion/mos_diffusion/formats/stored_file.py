"""Safetensors files of strangers: opened with a reason for every refusal, read tensor by tensor."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from mos_protocol.errors import InvalidRequest
from safetensors import SafetensorError, safe_open
from torch import Tensor

MAX_TENSORS = 50_000
# The largest LoRAs that are passed around (SDXL, rank 256, float32) have some 3.5 GB.
MAX_BYTES = 8 << 30
_READABLE = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "I64", "I32")
_PICKLE_STARTS = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


class StoredFile:
    """An open safetensors file: keys, shapes and metadata now, tensors when they are asked for."""

    def __init__(self, file: Any, label: str) -> None:
        self._file = file
        self.label = label
        self.keys: tuple[str, ...] = tuple(file.keys())
        self.metadata: dict[str, str] = dict(file.metadata() or {})

    def shape(self, key: str) -> tuple[int, ...]:
        return tuple(self._file.get_slice(key).get_shape())

    def read(self, key: str) -> Tensor:
        """The tensor as fp32; raise `InvalidRequest` for one that holds no finite numbers."""
        kind = self._file.get_slice(key).get_dtype()
        if kind not in _READABLE:
            raise InvalidRequest(
                f"{self.label}: {key[:200]!r} is of type {kind}.",
                hint="Convert the file to float32, float16 or bfloat16.",
            )
        # A copy: what the file is mapped to goes when somebody rewrites it.
        tensor: Tensor = self._file.get_tensor(key).to(torch.float32, copy=True)
        if not torch.isfinite(tensor).all():
            raise InvalidRequest(
                f"{self.label}: {key[:200]!r} has values that are not finite.",
                hint="Its training diverged; use an earlier checkpoint.",
            )
        return tensor


@contextmanager
def open_stored(path: Path) -> Iterator[StoredFile]:
    """Open `path`; raise `InvalidRequest` for pickles, damaged files and absurd ones."""
    if not path.is_file():
        raise InvalidRequest(f"{path} is no file.", hint="Give the LoRA's .safetensors file.")
    with path.open("rb") as file:
        start = file.read(4)
    if start.startswith(_PICKLE_STARTS):
        raise InvalidRequest(
            f"{path} is a pickle: opening one can run a stranger's code.",
            hint="Ask for a safetensors file, or convert it where you trust it.",
        )
    if path.stat().st_size > MAX_BYTES:
        raise InvalidRequest(f"{path} has more than {MAX_BYTES} bytes: no LoRA is that big.")
    with ExitStack() as stack:
        try:
            stored = StoredFile(stack.enter_context(safe_open(path, framework="pt")), path.name)
        except (SafetensorError, OSError) as error:
            raise InvalidRequest(
                f"{path} can't be read: {error}", hint="It is damaged, or no safetensors file."
            ) from error
        if len(stored.keys) > MAX_TENSORS:
            raise InvalidRequest(f"{path} has {len(stored.keys)} tensors: no LoRA has as many.")
        yield stored
