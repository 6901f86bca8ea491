"""Bringing packages to a center, and reviewing those that others brought."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mos_protocol.errors import InvalidPackage
from mos_protocol.manifest import Manifest, read_manifest
from mos_protocol.package import check_package

from mos_client.session.connection import Connection, quoted
from mos_client.session.results import Base, Submission, SubmissionState
from mos_client.session.retry import PASSING, Patience
from mos_client.session.upload import OnTransfer, Upload, ignore_transfer

POLL_SECONDS = 1.0


class PackageCalls(Connection):
    """What a session can ask about packages and submissions."""

    def submit(
        self,
        package: Path,
        on_progress: OnTransfer = ignore_transfer,
        *,
        visibility: str | None = None,
    ) -> Submission:
        """Check a package, send what the center lacks of it, and have it validated.

        Running it again is the resume. `visibility` (private, shared or public) is who shall see
        the concept; None leaves it as it is, or to the center. A center that leaves the validation
        to a worker is waited for. Raises `InvalidPackage`, before anything is sent when the package
        is damaged or for a base that the center does not have.
        """
        manifest = self.check(package)
        upload = Upload(
            package,
            manifest,
            self._submissions,
            on_progress,
            self._backoff,
            visibility or "",
            self._tls,
        )
        return self._validated(upload.run())

    def check(self, package: Path) -> Manifest:
        """Check a package folder against the center's base model; raises `InvalidPackage`."""
        manifest = read_manifest(package)
        return check_package(package, self._base_for(manifest).layer_map)

    def submissions(self, *, state: str | None = None) -> list[Submission]:
        """Your submissions, the newest first; everybody's for curators."""
        return list(self._rest.pages(Submission, "/v1/submissions", {"state": state}))

    def submission(self, submission_id: str) -> Submission:
        """Where a submission stands now."""
        return self._rest.get(Submission, f"/v1/submissions/{quoted(submission_id)}")

    def watch_submission(self, submission_id: str) -> Iterator[Submission]:
        """The submission's states as they change, until it is settled."""
        last: Submission | None = None
        patience = Patience(self._backoff)
        while True:
            try:
                for submission in self._submissions.watch(submission_id):
                    patience.restore()
                    if submission != last:
                        yield submission
                    last = submission
                    if submission.state.settled:
                        return
            except PASSING as error:
                patience.lose(error)
            else:
                self._backoff.sleep(POLL_SECONDS)

    def approve(self, submission_id: str) -> Submission:
        """Let a concept that waits for review be fused; for curators."""
        path = f"/v1/submissions/{quoted(submission_id)}/approve"
        return self._rest.change("POST", Submission, path)

    def reject(self, submission_id: str, reason: str) -> Submission:
        """Refuse a concept and have its files deleted; for curators."""
        path = f"/v1/submissions/{quoted(submission_id)}/reject"
        return self._rest.change("POST", Submission, path, {"reason": reason})

    def _validated(self, submission: Submission) -> Submission:
        """The submission once the center has validated it; raises `InvalidPackage`."""
        if submission.state is not SubmissionState.VALIDATING:
            return submission
        *_, settled = self.watch_submission(submission.id)
        if settled.state is SubmissionState.REJECTED:
            file, _, reason = settled.reason.partition(": ")
            raise InvalidPackage(file, reason or "refused", hint="Mend the package, submit again.")
        return settled

    def _base_for(self, manifest: Manifest) -> Base:
        bases = self.bases()
        for base in bases:
            if base.digest == manifest.base.digest:
                return base
        names = ", ".join(base.name for base in bases) or "none"
        raise InvalidPackage(
            "manifest.json",
            f"tuned on base {manifest.base.name!r} with digest {manifest.base.digest[:12]}…, "
            f"which the center has not registered; it has: {names}",
            hint="Tune on one of those, or have the base registered (`mos-center base add`).",
        )
