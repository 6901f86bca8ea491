"""What tests do with a center again and again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from mos_center.domain.access import LOCAL, Caller
from mos_center.domain.models import Fusion, PublishedFile, Submission
from mos_center.opening import OpenedData
from mos_center.service.center import Center
from mos_center.service.fusion_requests import FusionRequest, WantedConcept
from mos_protocol.manifest import MANIFEST_FILE, Manifest, read_manifest
from mos_protocol.names import Digest


def send_files(center: Center, folder: Path, caller: Caller = LOCAL) -> Submission:
    """Offer a package folder and send what is missing, without committing."""
    offer = center.submissions.offer((folder / MANIFEST_FILE).read_bytes(), caller=caller)
    for blob in offer.missing:
        upload = center.uploads.begin(offer.submission.id, Digest(blob.entry.sha256), caller=LOCAL)
        with upload:
            upload.write((folder / blob.entry.path).read_bytes())
            upload.finish()
    return offer.submission


def submit_folder(center: Center, folder: Path, caller: Caller = LOCAL) -> Submission:
    """Offer, send and commit."""
    return center.validation.commit(send_files(center, folder, caller).id, caller=caller)


def stored(data: OpenedData) -> set[str]:
    """The digests of all blobs in the store's folder; temporary files count under their names."""
    root = data.blobs.root
    return {
        path.name if path.parent.name == "uploads" else path.parent.name + path.name
        for path in root.rglob("*")
        if path.is_file()
    }


def contents(folder: Path) -> dict[str, str]:
    """Path to sha256 of the files that a package lists."""
    manifest: Manifest = read_manifest(folder)
    return {entry.path: entry.sha256 for entry in manifest.files}


def publish(
    center: Center,
    data: OpenedData,
    model: str,
    version: int,
    files: Mapping[str, bytes],
    concept: str = "ada/potter",
) -> Fusion:
    """Request a fusion of one concept version and publish `files` as its result."""
    wanted = FusionRequest(model, "small", [WantedConcept(concept, version)])
    return publish_as(center, data, wanted, files)


def publish_as(
    center: Center,
    data: OpenedData,
    wanted: FusionRequest,
    files: Mapping[str, bytes],
    report: Mapping[str, object] | None = None,
    caller: Caller = LOCAL,
) -> Fusion:
    """Request a fusion and publish `files` and the report as its result."""
    fusion, _ = center.fusions.request(wanted, caller=caller)
    published = [store(data, path, content) for path, content in files.items()]
    data.ledger().started(fusion.id)
    data.ledger().publish(fusion.id, published, report or {})
    return center.fusions.get(fusion.id, caller=LOCAL)


def fuse(
    center: Center, data: OpenedData, model: str, concepts: list[str], caller: Caller = LOCAL
) -> Fusion:
    """Request a fusion of concept versions, `owner/name@1`, and publish it with one file."""
    fusion = request(center, model, concepts, caller)
    data.ledger().started(fusion.id)
    weights = store(data, "weights.bin", f"{model} {concepts}".encode())
    data.ledger().publish(fusion.id, [weights], {})
    return center.fusions.get(fusion.id, caller=LOCAL)


def request(center: Center, model: str, concepts: list[str], caller: Caller = LOCAL) -> Fusion:
    """Request a fusion of concept versions on the base called small."""
    named = [ref.partition("@") for ref in concepts]
    wanted = [WantedConcept(name, int(version)) for name, _, version in named]
    return center.fusions.request(FusionRequest(model, "small", wanted), caller=caller)[0]


def store(data: OpenedData, path: str, content: bytes) -> PublishedFile:
    """Put a file of a model into the blob store."""
    digest = Digest(hashlib.sha256(content).hexdigest())
    with data.blobs.begin(digest, len(content)) as writer:
        writer.write(content)
        writer.commit()
    return PublishedFile(path, len(content), digest)
