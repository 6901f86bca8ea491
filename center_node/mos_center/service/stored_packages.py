"""Whether the package files that a fusion reads are still in the store."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from mos_protocol.errors import Gone
from mos_protocol.names import Digest

from mos_center.domain.ports import BlobStore, Transaction
from mos_center.service.fusion_concepts import Member
from mos_center.service.fusion_findings import Finding, Subject

Files = Mapping[str, Mapping[str, Digest]]

_TRUSTED_SECONDS = 60.0
# A store may be far away, and a package has a dozen files.
_LOOKS_AT_ONCE = 16


class StoredPackages:
    """Looks files up, and remembers for a minute that they were there. Thread-safe."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._seen: dict[Digest, float] = {}

    def findings(self, files: Files) -> Iterator[Finding]:
        """Packages with lost files; `files` are by reference, then by path."""
        lost = self._lost({digest for own in files.values() for digest in own.values()})
        for ref, own in files.items():
            paths = sorted(path for path, digest in own.items() if digest in lost)
            if paths:
                error = Gone(
                    f"{len(paths)} files of {ref} are not in the center's store, first {paths[0]}.",
                    hint="Ask the center's operator to restore them, or leave the concept out.",
                )
                yield Finding.of(error, Subject.CONCEPTS, ref)

    def _lost(self, digests: set[Digest]) -> set[Digest]:
        now = time.monotonic()
        # Replaced, never changed: other threads may look at it meanwhile.
        seen = {digest: until for digest, until in self._seen.items() if until > now}
        unknown = sorted(digests - seen.keys())
        there = self._look(unknown)
        self._seen = {**seen, **dict.fromkeys(there, now + _TRUSTED_SECONDS)}
        return set(unknown) - there

    def _look(self, digests: Sequence[Digest]) -> set[Digest]:
        if not digests:
            return set()
        with ThreadPoolExecutor(min(_LOOKS_AT_ONCE, len(digests))) as pool:
            found = pool.map(self._blobs.exists, digests)
            return {digest for digest, is_there in zip(digests, found, strict=True) if is_there}


def files_to_read(
    transaction: Transaction, members: Iterable[Member]
) -> dict[str, dict[str, Digest]]:
    """What a fusion reads of every package, by reference: its pictures are not needed."""
    refs = {member.submission.id: member.ref for member in members}
    stored = transaction.submissions.files_of(refs.keys())
    return {
        refs[submission]: {p: d for p, d in files.items() if not p.startswith("previews/")}
        for submission, files in stored.items()
    }
