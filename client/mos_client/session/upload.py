"""Bringing a package to a center: offer it, send the blobs that are missing, commit.

Nothing is remembered on this side. Offering the same manifest again tells what arrived, so running
an upload again is the resume, and one that is finished sends nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import httpx
from mos_protocol.errors import InvalidPackage, Unavailable
from mos_protocol.manifest import Manifest
from mos_protocol.wire.v1 import submissions_pb2 as pb

from mos_client.session.problems import store_problem
from mos_client.session.results import Submission, SubmissionState, TransferProgress
from mos_client.session.retry import PASSING, Backoff, Patience
from mos_client.session.tls import Tls

CHUNK = 1 << 20
PUT_SECONDS = 120.0
OnTransfer = Callable[[TransferProgress], None]


class SubmissionsService(Protocol):
    """What an upload needs of a center."""

    def offer(
        self, manifest: bytes, visibility: str = ""
    ) -> tuple[Submission, tuple[pb.Blob, ...]]: ...

    def put_blob(self, submission_id: str, sha256: str, pieces: Iterator[bytes]) -> None: ...

    def commit(self, submission_id: str) -> Submission: ...


def ignore_transfer(progress: TransferProgress) -> None:
    """The callback for callers that want no progress."""


class Upload:
    """One run of bringing `package`, whose checked manifest is `manifest`, to a center.

    `on_progress` is called from the thread that reads the files.
    """

    def __init__(
        self,
        package: Path,
        manifest: Manifest,
        center: SubmissionsService,
        on_progress: OnTransfer = ignore_transfer,
        backoff: Backoff | None = None,
        visibility: str = "",
        tls: Tls | None = None,
    ) -> None:
        self._package = package
        self._visibility = visibility
        self._tls = tls or Tls()
        self._manifest = manifest
        self._center = center
        self._on_progress = on_progress
        self._patience = Patience(backoff or Backoff())
        self._sizes = {entry.sha256: entry.size for entry in manifest.files}
        self._paths = {entry.sha256: entry.path for entry in manifest.files}
        self._total = sum(self._sizes.values())
        self._done = 0

    def run(self) -> Submission:
        """Send what is missing and commit. Raises `InvalidPackage` when the center refuses it.

        When the center goes away it is waited for; at most the file being sent is sent again.
        """
        while True:
            try:
                return self._try()
            except PASSING as error:
                self._patience.lose(error)

    def _try(self) -> Submission:
        submission, missing = self._center.offer(self._manifest.to_bytes(), self._visibility)
        if submission.state not in (SubmissionState.UPLOADING, SubmissionState.VALIDATING):
            self._report(self._total, "")
            return submission
        blobs = {blob.sha256: blob for blob in missing}
        self._done = self._total - sum(self._size(blob) for blob in blobs.values())
        self._report(self._done, "")
        for blob in blobs.values():
            self._send(submission.id, blob)
            self._patience.restore()
        return self._center.commit(submission.id)

    def _size(self, blob: pb.Blob) -> int:
        if blob.sha256 not in self._sizes:
            raise InvalidPackage(
                blob.path or blob.sha256[:12],
                "the center asks for a file that the manifest does not list",
                hint="Nothing was sent. Is this the center you meant?",
            )
        return self._sizes[blob.sha256]

    def _send(self, submission_id: str, blob: pb.Blob) -> None:
        pieces = self._pieces(blob.sha256)
        if blob.put_url:
            put_directly(blob.put_url, self._sizes[blob.sha256], pieces, self._tls)
        else:
            self._center.put_blob(submission_id, blob.sha256, pieces)
        self._done += self._sizes[blob.sha256]
        self._report(self._done, self._paths[blob.sha256])

    def _pieces(self, sha256: str) -> Iterator[bytes]:
        sent = 0
        with (self._package / self._paths[sha256]).open("rb") as file:
            while piece := file.read(CHUNK):
                yield piece
                sent += len(piece)
                self._report(self._done + sent, self._paths[sha256])

    def _report(self, done: int, path: str) -> None:
        self._on_progress(TransferProgress(min(done, self._total), self._total, path))


def put_directly(url: str, size: int, pieces: Iterator[bytes], tls: Tls) -> None:
    """PUT a blob to the address that the center signed; the token stays out of it."""
    headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
    verify = tls.context() if url.startswith("https:") else True
    try:
        response = httpx.put(
            url, content=pieces, headers=headers, timeout=PUT_SECONDS, verify=verify
        )
    except (httpx.RequestError, httpx.InvalidURL) as error:
        host = urlsplit(url).hostname
        raise Unavailable(f"The center's file store at {host} broke off ({error}).") from None
    if not response.is_success:
        raise store_problem(response)
