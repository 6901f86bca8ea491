"""What is said about a fusion before it is requested."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from mos_protocol.errors import MosError


class FindingKind(StrEnum):
    """An error keeps the request from being taken; a warning doesn't, and a note only informs."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Subject(StrEnum):
    """What of a request a finding is about."""

    BASE = "base"
    CONCEPTS = "concepts"
    SETTINGS = "settings"
    MODEL = "model"


@dataclass(frozen=True)
class Finding:
    """One sentence about a request, and what to do about it.

    `concepts` are the references that it is about. `error` is what requesting the fusion raises.
    """

    kind: FindingKind
    subject: Subject
    message: str
    hint: str = ""
    concepts: tuple[str, ...] = ()
    error: MosError | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(cls, error: MosError, subject: Subject, *concepts: str) -> Finding:
        """The finding that a request is refused with `error`."""
        return cls(FindingKind.ERROR, subject, error.message, error.hint, concepts, error)


def raise_first(findings: Iterable[Finding]) -> None:
    """Raise the first error among the findings."""
    for finding in findings:
        if finding.error is not None:
            raise finding.error
