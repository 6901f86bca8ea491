"""The center's own errors, within the tree of `mos_protocol.errors`.

InvalidRequest
└── WrongContent     bytes that are not the blob they were announced as
    └── Incomplete   fewer bytes than announced: the transfer broke off
Unavailable
├── LeftToWorkers    raw activations, which this process can't reduce
└── DeliveryFailed   a webhook did not take what it was sent
"""

from __future__ import annotations

from mos_protocol.errors import InvalidRequest, Unavailable
from mos_protocol.names import Digest


class WrongContent(InvalidRequest):
    """What arrived is not the blob `digest`; `reason` says in what it differs."""

    def __init__(self, digest: Digest, reason: str) -> None:
        super().__init__(
            f"blob {digest[:12]}…: {reason}", hint="Send the file again.", sha256=digest
        )
        self.reason = reason


class Incomplete(WrongContent):
    """The transfer ended early; nothing is wrong with the bytes that came."""


class DeliveryFailed(Unavailable):
    """A webhook could not be reached, must not be reached, or answered otherwise than 2xx."""


class LeftToWorkers(Unavailable):
    """This process has no engine; a worker has."""
