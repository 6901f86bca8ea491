"""Fuse package folders without a center: `mos-center fuse-local`."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mos_diffusion.base_model import read_layer_map
from mos_protocol.errors import Conflict, InvalidRequest, MosError
from mos_protocol.layer_map import LayerMap
from mos_protocol.manifest import CONCEPT_FILE, Manifest, read_manifest
from mos_protocol.names import Digest
from mos_protocol.package import check_file, check_manifest
from mos_protocol.part_weights import PartWeights
from mos_protocol.words import check_words

from mos_center.domain.build import ENGINE_VERSION
from mos_center.domain.fuse_methods import Changed, check_prior, unfit
from mos_center.fusion.parallel import Stopwatch, workers
from mos_center.fusion.previews import write_previews
from mos_center.fusion.publish import write_model
from mos_center.fusion.recipe import Recipe
from mos_center.fusion.settings import FusionSettings
from mos_center.fusion.sources import BaseSource, ConceptSource, local_file
from mos_center.fusion.steps import fused_blocks, fusion_steps
from mos_center.fusion.sums_cache import SumsCache

Progress = Callable[[int, int, str], None]
"""Called with steps done, steps in all, and what is being done now."""


def fuse_local(
    base: Path,
    packages: Sequence[tuple[Path, PartWeights]],
    settings: FusionSettings,
    out: Path,
    prior: Mapping[str, Path] | None = None,
    on_progress: Progress = lambda done, total, message: None,
    *,
    sums: Path | None = None,
    withdrawn: Sequence[Path] = (),
    exports: Sequence[str] = (),
    previews: bool = False,
) -> dict[str, object]:
    """Fuse `packages` (folder, weights) on the base folder into `out`; return the report.

    `prior` maps every block to its file of prior moments; a prior weight above 0 needs it. With a
    folder of `sums`, a fusion with one concept more or less than an earlier one reads the moments
    of that one only; a concept that went out must be named in `withdrawn`. With `previews`, the
    fused model is sampled. The report that is returned also has `seconds` per phase, `reused`: how
    many concepts were not read, and `unsampled`: why there are no previews, "" if all is well.

    Packages are checked before they are read. `out` must not exist; it appears complete or not at
    all. Raises `InvalidRequest`, `InvalidPackage`, `Conflict` or `JobFailed`.
    """
    watch = Stopwatch()
    _check_request(packages, settings, out, prior)
    on_progress(0, 1, "reading the base model")
    with watch.phase("base"):
        layers = read_layer_map(base)
    manifests = [read_manifest(folder) for folder, _ in packages]
    source = BaseSource(
        name=manifests[0].base.name,
        folder=base,
        layer_map=layers,
        prior={block: local_file(path) for block, path in (prior or {}).items()},
    )
    concepts = [
        _concept(folder, weights, manifest)
        for (folder, weights), manifest in zip(packages, manifests, strict=True)
    ]
    check_words((item.concept, item.words) for item in manifests)
    check_prior(settings.solver, source.name, has_prior=prior is not None)
    _check_fit(settings, concepts)
    gone = {}
    for folder in withdrawn:
        manifest = read_manifest(folder)
        gone[manifest.digest()] = _concept(folder, PartWeights(), manifest), folder
    cache = None if sums is None else SumsCache(sums)
    recipe = Recipe(
        source,
        concepts,
        settings,
        _build(source, concepts, settings, exports),
        tuple(exports),
        lambda digest: gone[digest][0] if digest in gone else None,
    )
    on_progress(0, 1, "checking the packages")
    with watch.phase("check"):
        reused = _check_packages(recipe, packages, gone, cache)
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        report = _fuse(recipe, work, out, cache, watch, on_progress, previews=previews)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return {**report, "seconds": _seconds(watch), "reused": reused}


def _fuse(
    recipe: Recipe,
    work: Path,
    out: Path,
    cache: SumsCache | None,
    watch: Stopwatch,
    on_progress: Progress,
    *,
    previews: bool,
) -> dict[str, object]:
    """Fuse block by block inside `work`, then move the finished folder to `out`."""
    steps, blocks = fusion_steps(recipe, work, cache, watch), fused_blocks(recipe, work)
    unsampled = ""
    total = len(steps) + 1
    for done, step in enumerate(steps):
        on_progress(done, total, step.name)
        step.run()
    on_progress(len(steps), total, "writing the model")
    with watch.phase("write"):
        report = write_model(recipe, blocks, work / "model")
    if previews:
        on_progress(len(steps), total, "sampling previews")
        with watch.phase("sample"):
            unsampled = _sample(recipe, blocks, work / "model")
    (work / "model").rename(out)
    on_progress(total, total, "done")
    return {**report, "unsampled": unsampled}


def _sample(recipe: Recipe, blocks: Sequence[Path], model: Path) -> str:
    """Add previews; the reason where that can't be: the model is complete without them."""
    try:
        write_previews(recipe, blocks, model)
    except MosError as error:
        return error.message
    return ""


def _build(
    base: BaseSource,
    concepts: Sequence[ConceptSource],
    settings: FusionSettings,
    exports: Sequence[str],
) -> Digest:
    """The digest over all that decides the result; no center has it, which knows versions too."""
    content = {
        "base": base.digest,
        "concepts": [[item.digest, item.weights.to_json()] for item in concepts],
        "engine": ENGINE_VERSION,
        "settings": settings.to_json(),
        "exports": sorted(exports),
        "fused": "locally",
    }
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return Digest(hashlib.sha256(canonical.encode()).hexdigest())


def _check_request(
    packages: Sequence[tuple[Path, PartWeights]],
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


def _check_fit(settings: FusionSettings, concepts: Sequence[ConceptSource]) -> None:
    """Raise what stands against fusing the first concept that the solver can't fuse."""
    changed = (Changed(item.ref, item.weights, item.manifest) for item in concepts)
    for _, error in unfit(settings.solver, changed):
        raise error


def _check_packages(
    recipe: Recipe,
    packages: Sequence[tuple[Path, PartWeights]],
    gone: Mapping[Digest, tuple[ConceptSource, Path]],
    cache: SumsCache | None,
) -> int:
    """Check all that will be read of every package; return how many need no moments read."""
    layer_map = recipe.base.layer_map
    digests = [concept.digest for concept in recipe.concepts]
    reuse = None
    if cache is not None and recipe.settings.solves:
        reuse = cache.nearest(recipe.base.digest, digests, gone.__contains__)
    held = set() if reuse is None else set(digests) - set(reuse.added)
    for (folder, _), concept in zip(packages, recipe.concepts, strict=True):
        _check_package(folder, concept.manifest, layer_map, moments=concept.digest not in held)
    for digest in () if reuse is None else reuse.withdrawn:
        source, folder = gone[digest]
        _check_package(folder, source.manifest, layer_map, moments=True)
    return len(held)


def _check_package(folder: Path, manifest: Manifest, layer_map: LayerMap, *, moments: bool) -> None:
    check_manifest(manifest, layer_map)
    for entry in manifest.files:
        if moments or entry.path == CONCEPT_FILE:
            check_file(folder / entry.path, entry, manifest, layer_map)


def _concept(folder: Path, weights: PartWeights, manifest: Manifest) -> ConceptSource:
    files = {entry.path: local_file(folder / entry.path) for entry in manifest.files}
    return ConceptSource(manifest.concept, weights, manifest, files)


def _seconds(watch: Stopwatch) -> dict[str, float]:
    """Seconds per phase as they pass on the clock; phases that ran side by side are divided."""
    side_by_side = {"read", "solve", "measure"}
    count = workers()
    return {
        name: seconds / count if name in side_by_side else seconds
        for name, seconds in watch.seconds.items()
    }
