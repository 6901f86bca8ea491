"""Checks of a whole concept package, the same on the client before sending and at the center."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path

from mos_protocol.errors import InvalidPackage
from mos_protocol.layer_map import LayerMap
from mos_protocol.manifest import (
    CONCEPT_FILE,
    MANIFEST_FILE,
    MAX_PREVIEW_BYTES,
    FileEntry,
    Manifest,
    read_manifest,
    sha256_of,
)
from mos_protocol.methods import adapted_parts
from mos_protocol.moments import block_of, check_moments, moments_path, moments_size_limit
from mos_protocol.tensors import (
    CONCEPT_FORMAT,
    MAX_ABS_WEIGHT,
    check_tensors,
    check_values,
    concept_shapes,
    layer_ranks,
    read_header,
)

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def expected_files(layer_map: LayerMap) -> set[str]:
    """The files that every package for this base must have; previews come on top."""
    return {CONCEPT_FILE} | {moments_path(block.name) for block in layer_map.blocks}


def optional_files(layer_map: LayerMap) -> set[str]:
    """The moments that a package must have where its concept changes the block."""
    return {moments_path(block.name) for block in layer_map.extra_blocks}


def size_limit(manifest: Manifest, layer_map: LayerMap, path: str) -> int:
    """The most bytes that a tensor file of this package can need, header included."""
    if path != CONCEPT_FILE:
        raw = manifest.moments.activations == "raw"
        return moments_size_limit(layer_map.block(block_of(path)), raw=raw)
    shapes = _shapes(manifest, layer_map)
    return sum(4 * prod(shape) for shape in shapes.values()) + 512 * (len(shapes) + 1)


def check_manifest(manifest: Manifest, layer_map: LayerMap) -> None:
    """Check what can be known before any file is sent; raise `InvalidPackage`.

    The base must be the one of `layer_map`, every file that the base calls for must be listed,
    nothing else but previews and moments of extra blocks, and no file larger than its content
    can be.
    """
    if manifest.base.digest != layer_map.digest:
        raise InvalidPackage(
            MANIFEST_FILE,
            f"tuned on base {manifest.base.name!r} with digest {manifest.base.digest[:12]}…, "
            f"but the base here has {layer_map.digest[:12]}…",
            hint="Tune on the base model that the center has registered.",
        )
    expected = expected_files(layer_map)
    listed = {entry.path for entry in manifest.files}
    missing = sorted(expected - listed)
    if missing:
        raise InvalidPackage(missing[0], "missing from the package's file list")
    allowed = expected | optional_files(layer_map)
    for entry in manifest.files:
        preview = entry.path.startswith("previews/")
        if not preview and entry.path not in allowed:
            raise InvalidPackage(entry.path, "the base model has no such block")
        limit = MAX_PREVIEW_BYTES if preview else size_limit(manifest, layer_map, entry.path)
        if entry.size > limit:
            raise InvalidPackage(entry.path, f"{entry.size} bytes; at most {limit} are expected")


def check_file(path: Path, entry: FileEntry, manifest: Manifest, layer_map: LayerMap) -> None:
    """Check one file's content: size, hash, tensors and values; raise `InvalidPackage`."""
    check_identity(path, entry)
    if entry.path.startswith("previews/"):
        with path.open("rb") as file:
            if file.read(8) != _PNG_SIGNATURE:
                raise InvalidPackage(entry.path, "no PNG picture")
        return
    if entry.path != CONCEPT_FILE:
        block = layer_map.block(block_of(entry.path))
        check_moments(path, block, entry.path, raw=manifest.moments.activations == "raw")
        return
    entries = read_header(path, entry.path, CONCEPT_FORMAT)
    ranks = layer_ranks(entries, manifest.rank, entry.path)
    allowed = _shapes(manifest, layer_map, ranks)
    embeddings = {name for name in allowed if name.endswith(".embeddings")}
    check_tensors(entries, allowed, embeddings | _other_halves(entries), entry.path)
    _check_moments_listed(entries, manifest, layer_map)
    check_values(path, entries, MAX_ABS_WEIGHT, entry.path)


def check_identity(path: Path, entry: FileEntry) -> None:
    """Check that a file is the one the manifest lists: size, then sha256."""
    if not path.is_file():
        raise InvalidPackage(entry.path, "missing")
    size = path.stat().st_size
    if size != entry.size:
        raise InvalidPackage(entry.path, f"{size} bytes long, but the manifest says {entry.size}")
    digest = sha256_of(path)
    if digest != entry.sha256:
        raise InvalidPackage(
            entry.path,
            f"content does not match the manifest (sha256 {digest[:12]}…, "
            f"expected {entry.sha256[:12]}…)",
            hint="The file was damaged or changed; write the package again.",
        )


def check_package(package: Path, layer_map: LayerMap) -> Manifest:
    """Check a package folder from end to end and return its manifest; raise `InvalidPackage`."""
    manifest = read_manifest(package)
    check_manifest(manifest, layer_map)
    for entry in manifest.files:
        check_file(package / entry.path, entry, manifest, layer_map)
    return manifest


def _shapes(
    manifest: Manifest, layer_map: LayerMap, ranks: Mapping[str, int] | None = None
) -> dict[str, tuple[int, ...]]:
    """The tensors that the concept may hold, being of its method."""
    parts = adapted_parts(manifest.method)
    return concept_shapes(layer_map, len(manifest.words), manifest.rank, ranks, parts)


def _check_moments_listed(entries: Iterable[str], manifest: Manifest, layer_map: LayerMap) -> None:
    """Fusion needs the moments of what the concept changes beyond the attention layers."""
    changed = {name.rpartition(".lora.")[0] for name in entries if ".lora." in name}
    for block in layer_map.blocks_for(changed):
        path = moments_path(block.name)
        if manifest.file(path) is None:
            raise InvalidPackage(
                path, f"missing from the package's file list: the concept changes {block.name}"
            )


def _other_halves(entries: Iterable[str]) -> set[str]:
    """A LoRA factor is useless without the other one: each calls for both."""
    names = {name.rsplit(".lora.", 1)[0] for name in entries if ".lora." in name}
    return {f"{name}.lora.{half}" for name in names for half in ("down", "up")}
