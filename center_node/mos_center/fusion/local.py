"""Fuse package folders without a center: `mos-center fuse-local`."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from mos_diffusion.base_model import layer_map, load_base
from mos_protocol.errors import Conflict, InvalidRequest
from mos_protocol.layer_map import LayerMap
from mos_protocol.manifest import read_manifest
from mos_protocol.package import check_package
from mos_protocol.words import check_words

from mos_center.fusion.block import fuse_block
from mos_center.fusion.publish import Recipe, write_model
from mos_center.fusion.settings import FusionSettings
from mos_center.fusion.sources import BaseSource, ConceptSource, OpenFile

Progress = Callable[[int, int, str], None]
"""Called with steps done, steps in all, and what is being done now."""


def fuse_local(
    base: Path,
    packages: Sequence[tuple[Path, float]],
    settings: FusionSettings,
    out: Path,
    prior: Mapping[str, Path] | None = None,
    on_progress: Progress = lambda done, total, message: None,
) -> dict[str, object]:
    """Fuse `packages` (folder, weight) on the base folder into `out`; return the report.

    `prior` maps every block to its file of prior moments; a prior weight above 0 needs it.
    Packages are checked first. `out` must not exist; it appears complete or not at all.
    Raises `InvalidRequest`, `InvalidPackage`, `Conflict` or `JobFailed`.
    """
    _check_request(packages, settings, out, prior)
    on_progress(0, 1, "reading the base model")
    layers = layer_map(load_base(base))
    source = BaseSource(
        name=read_manifest(packages[0][0]).base.name,
        folder=base,
        layer_map=layers,
        prior={block: _local(path) for block, path in (prior or {}).items()},
    )
    concepts = [_concept(folder, weight, layers) for folder, weight in packages]
    check_words((item.manifest.concept, item.manifest.words) for item in concepts)
    recipe = Recipe(source, concepts, settings)
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        return _fuse(recipe, work, out, on_progress)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _fuse(recipe: Recipe, work: Path, out: Path, on_progress: Progress) -> dict[str, object]:
    """Fuse block by block inside `work`, then move the finished folder to `out`."""
    blocks = recipe.base.layer_map.blocks
    total = len(blocks) + 1
    for done, block in enumerate(blocks):
        on_progress(done, total, f"fusing {block.name}")
        fuse_block(recipe.base, block, recipe.concepts, recipe.settings, work)
    on_progress(len(blocks), total, "writing the model")
    report = write_model(recipe, work, work / "model")
    (work / "model").rename(out)
    on_progress(total, total, "done")
    return report


def _check_request(
    packages: Sequence[tuple[Path, float]],
    settings: FusionSettings,
    out: Path,
    prior: Mapping[str, Path] | None,
) -> None:
    if not packages:
        raise InvalidRequest("No concept to fuse.", hint="Name at least one package folder.")
    if out.exists():
        raise Conflict(f"{out} is there already.", hint="Choose another folder or remove it.")
    if settings.prior_weight > 0 and prior is None:
        raise InvalidRequest(
            f"A prior weight of {settings.prior_weight:g} needs the base's prior moments.",
            hint="Name the folder that holds them, or leave the prior weight at 0.",
        )


def _concept(folder: Path, weight: float, layers: LayerMap) -> ConceptSource:
    """A package folder as a source, after it was checked from end to end."""
    manifest = check_package(folder, layers)
    files = {entry.path: _local(folder / entry.path) for entry in manifest.files}
    return ConceptSource(manifest.concept, weight, manifest, files)


def _local(path: Path) -> OpenFile:
    def opened() -> AbstractContextManager[Path]:
        return nullcontext(path)

    return opened
