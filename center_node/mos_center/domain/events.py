"""What the center writes down about a change: for its own log, and for those who subscribed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from mos_protocol.errors import InvalidRequest

Snapshot = Mapping[str, object]
"""A small JSON object that says how something stood; never with secrets in it."""


@dataclass(frozen=True)
class AuditEvent:
    """One change: who did what to which resource, and how it stood before and after."""

    actor: str
    action: str
    resource: str
    before: Snapshot | None = None
    after: Snapshot | None = None


_CHECKPOINT = re.compile(r"(\d{1,18}):([0-9a-f]{64})")

FIRST_HASH = "0" * 64
"""What the first entry of the audit log has as the hash of the entry before it."""


@dataclass(frozen=True)
class AuditEntry:
    """A written event; `hash` covers it and `previous`, the hash of the entry before.

    `content_hash` is what `hash` would have to be for the entry as it is stored now.
    """

    seq: int
    at: datetime
    event: AuditEvent
    request_id: str
    previous: str
    hash: str
    content_hash: str


@dataclass(frozen=True)
class Checkpoint:
    """The number and the hash of an entry: whoever notes it can tell later that it is still there.

    Number 0 is the empty log.
    """

    seq: int = 0
    hash: str = FIRST_HASH

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Read `SEQ:HASH`; raises `InvalidRequest`."""
        found = _CHECKPOINT.fullmatch(text.strip())
        if found is None:
            raise InvalidRequest(
                f"{text[:80]!r} is no checkpoint.",
                hint="Write it as `mos-center audit verify` printed it: NUMBER:SHA256.",
            )
        return cls(int(found[1]), found[2])


class EventKind(StrEnum):
    """What others can subscribe to; a ping is sent on request, to whoever it is asked for."""

    PING = "ping"
    CONCEPT_APPROVED = "concept.approved"
    MODEL_PUBLISHED = "model.published"
    FUSION_FAILED = "fusion.failed"


@dataclass(frozen=True)
class Event:
    """Something that happened, as it is told to subscribers."""

    kind: EventKind
    resource: str
    data: Mapping[str, object] = field(default_factory=dict)
