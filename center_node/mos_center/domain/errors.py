"""The center's own errors, within the tree of `mos_protocol.errors`.

InvalidRequest
└── WrongContent     bytes that are not the blob they were announced as
    └── Incomplete   fewer bytes than announced: the transfer broke off
"""

from __future__ import annotations

from mos_protocol.errors import InvalidRequest
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
