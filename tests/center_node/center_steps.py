"""What tests do with a center again and again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from mos_center.domain.models import Fusion, PublishedFile, Submission
from mos_center.opening import OpenedData
from mos_center.service.center import Center
from mos_center.service.fusions import FusionRequest, WantedConcept
from mos_protocol.manifest import MANIFEST_FILE, Manifest, read_manifest
from mos_protocol.names import Digest


def send_files(center: Center, folder: Path) -> Submission:
    """Offer a package folder and send what is missing, without committing."""
    offer = center.submissions.offer((folder / MANIFEST_FILE).read_bytes())
    for blob in offer.missing:
        upload = center.uploads.begin(offer.submission.id, Digest(blob.entry.sha256))
        with upload:
            upload.write((folder / blob.entry.path).read_bytes())
            upload.finish()
    return offer.submission


def submit_folder(center: Center, folder: Path) -> Submission:
    """Offer, send and commit."""
    return center.validation.commit(send_files(center, folder).id)


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
    request = FusionRequest(model, "small", [WantedConcept(concept, version)])
    fusion, _ = center.fusions.request(request, caller="ada")
    published = [store(data, path, content) for path, content in files.items()]
    data.ledger().started(fusion.id)
    data.ledger().publish(fusion.id, published, {})
    return center.fusions.get(fusion.id)


def store(data: OpenedData, path: str, content: bytes) -> PublishedFile:
    """Put a file of a model into the blob store."""
    digest = Digest(hashlib.sha256(content).hexdigest())
    with data.blobs.begin(digest, len(content)) as writer:
        writer.write(content)
        writer.commit()
    return PublishedFile(path, len(content), digest)
