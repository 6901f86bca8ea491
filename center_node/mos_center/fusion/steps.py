"""A fusion as a list of steps that hand over files only, in a work folder.

    <work>/round-0/<block>.safetensors       the fused blocks
    <work>/round-1/concepts/<i>/moments/…    what concept i sends into the fused model
    <work>/round-1/<block>.safetensors       the blocks, fused again on it

Every step can be run again, and says whether what it leaves behind is there; so a fusion can be
stopped between any two of them, and go on in another process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from mos_protocol.layer_map import Block
from mos_protocol.moments import moments_path
from mos_protocol.names import Digest

from mos_center.fusion.block import CachedSums, block_path, fuse_block, read_report
from mos_center.fusion.parallel import Stopwatch
from mos_center.fusion.recipe import Recipe
from mos_center.fusion.refine import record_on_fused
from mos_center.fusion.report import block_json
from mos_center.fusion.sources import ConceptSource, local_file
from mos_center.fusion.sums_cache import SumsCache


@dataclass(frozen=True)
class Step:
    """One step: a name that is its own in the fusion, what it does, and whether it was done.

    `block` is the block that it fuses, "" where it fuses none. `finding` says afterwards how that
    block fits, as plain data; {} where there is none.
    """

    name: str
    run: Callable[[], object]
    is_done: Callable[[], bool]
    block: str = ""
    finding: Callable[[], dict[str, object]] = dict


def fused_blocks(recipe: Recipe, work: Path) -> list[Path]:
    """The files of the fused blocks, once all steps are done."""
    folder = _round(work, _rounds(recipe))
    return [block_path(folder, block.name) for block in recipe.blocks()]


def fusion_steps(
    recipe: Recipe, work: Path, cache: SumsCache | None = None, watch: Stopwatch | None = None
) -> list[Step]:
    """All steps of a fusion up to its blocks, in order."""
    blocks = recipe.blocks()
    rounds = _rounds(recipe)
    steps = _block_steps(recipe, blocks, _round(work, 0), "fuse", cache, watch)
    for number in range(1, rounds + 1):
        folder, before = _round(work, number), _round(work, number - 1)
        steps += _record_steps(recipe, blocks, before, folder, number)
        refined = replace(recipe, concepts=_refined(recipe, folder))
        steps += _block_steps(refined, blocks, folder, f"refine {number}: fuse", None, watch)
    return steps


def _block_steps(
    recipe: Recipe,
    blocks: Sequence[Block],
    folder: Path,
    verb: str,
    cache: SumsCache | None,
    watch: Stopwatch | None,
) -> list[Step]:
    def fuse(block: Block) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        cached = _cached(recipe, cache)
        fuse_block(
            recipe.base,
            block,
            recipe.concepts,
            recipe.settings,
            folder,
            cached=cached,
            watch=watch,
        )
        if cached is not None and block is blocks[-1]:
            cached.cache.finish(recipe.base.digest, _digests(recipe))

    refs = [concept.ref for concept in recipe.concepts]
    paths = [block_path(folder, block.name) for block in blocks]
    return [
        Step(
            f"{verb} {block.name}",
            partial(fuse, block),
            path.is_file,
            block.name,
            partial(_finding, path, refs),
        )
        for block, path in zip(blocks, paths, strict=True)
    ]


def _finding(path: Path, refs: Sequence[str]) -> dict[str, object]:
    """What the file of a fused block says of it."""
    return block_json(read_report(path), refs)


def _record_steps(
    recipe: Recipe, blocks: Sequence[Block], before: Path, folder: Path, number: int
) -> list[Step]:
    paths = [block_path(before, block.name) for block in blocks]
    steps = []
    for index, concept in enumerate(recipe.concepts):
        out = _concept_folder(folder, index)
        run = partial(record_on_fused, recipe.base, concept, paths, out)
        steps.append(Step(f"refine {number}: record {concept.ref}", run, out.is_dir))
    return steps


def _refined(recipe: Recipe, folder: Path) -> list[ConceptSource]:
    """The concepts with the moments that were recorded on the fused model."""
    found = []
    for index, concept in enumerate(recipe.concepts):
        out = _concept_folder(folder, index)
        paths = [moments_path(block.name) for block in recipe.base.layer_map.blocks]
        moments = {path: local_file(out / path) for path in paths}
        found.append(replace(concept, files={**concept.files, **moments}))
    return found


def _cached(recipe: Recipe, cache: SumsCache | None) -> CachedSums | None:
    if cache is None or not recipe.settings.solves:
        return None
    found: dict[Digest, ConceptSource] = {}

    def readable(digest: Digest) -> bool:
        source = recipe.at_hand(digest)
        if source is not None:
            found[digest] = source
        return source is not None

    reuse = cache.nearest(recipe.base.digest, _digests(recipe), readable)
    gone = () if reuse is None else reuse.withdrawn
    return CachedSums(cache, reuse, {digest: found[digest] for digest in gone})


def _digests(recipe: Recipe) -> list[Digest]:
    return [concept.digest for concept in recipe.concepts]


def _rounds(recipe: Recipe) -> int:
    return recipe.settings.refine_rounds if recipe.settings.solves else 0


def _round(work: Path, number: int) -> Path:
    return work / f"round-{number}"


def _concept_folder(folder: Path, index: int) -> Path:
    return folder / "concepts" / str(index)
