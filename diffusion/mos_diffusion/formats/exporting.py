"""The formats that a published model can be exported to, and the one way to do it.

A new format is one file with a class like these and one line in `EXPORTS`.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import torch
from mos_protocol.errors import Conflict, InvalidRequest

from mos_diffusion.formats.diffusers_lora import DiffusersLora
from mos_diffusion.formats.kohya_lora import KohyaLora
from mos_diffusion.formats.published import PublishedModel, open_published
from mos_diffusion.formats.single_file import SingleFile
from mos_diffusion.formats.word_files import write_words

DTYPES = {"float16": torch.float16, "float32": torch.float32}


class Export(Protocol):
    """A format: `write` makes its file in a new folder, `check` loads it back.

    `check` raises `JobFailed` when what comes back is not the model.
    """

    title: str

    def write(self, model: PublishedModel, out: Path, dtype: torch.dtype) -> Path: ...

    def check(self, model: PublishedModel, path: Path, dtype: torch.dtype) -> None: ...


EXPORTS: Mapping[str, Export] = {
    "diffusers-lora": DiffusersLora(),
    "kohya-lora": KohyaLora(),
    "single-file": SingleFile(),
}


def export(model_folder: Path, name: str, out: Path, dtype: str = "float16") -> list[Path]:
    """Write the published model in the format `name` to the new folder `out`; return its files.

    The words are beside the model, as textual inversions and as `concepts.safetensors`. `out`
    appears once all of it has been loaded back and compared. Raises `InvalidRequest` for what
    can't be exported so, `Conflict` when `out` is there, `JobFailed` when the comparison fails.
    """
    if name not in EXPORTS or dtype not in DTYPES:
        wrong, known = (name, EXPORTS) if name not in EXPORTS else (dtype, DTYPES)
        raise InvalidRequest(
            f"There is no export {wrong!r}; expected one of {', '.join(known)}.",
            hint="See docs/exports.md for which tool reads which.",
        )
    if out.exists():
        raise Conflict(f"{out} is there already.", hint="Choose another folder or remove it.")
    model = open_published(model_folder)
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        _write(EXPORTS[name], model, work / "export", DTYPES[dtype])
        (work / "export").rename(out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return sorted(path for path in out.rglob("*") if path.is_file())


def _write(chosen: Export, model: PublishedModel, folder: Path, dtype: torch.dtype) -> None:
    folder.mkdir()
    path = chosen.write(model, folder, dtype)
    write_words(model, folder)
    chosen.check(model, path, dtype)
