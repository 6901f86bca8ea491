"""The identity of a fusion's result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from mos_protocol.names import Digest
from mos_protocol.part_weights import PartWeights

from mos_center.domain.solving import Solving

ENGINE_VERSION = "4"
"""Raised whenever the same request would give other bytes than before."""


def build_digest(
    base: Digest, concepts: Sequence[tuple[Digest, PartWeights]], solving: Solving
) -> Digest:
    """The sha256 over all that decides the result; `concepts` are manifest digests and weights.

    Their order counts: words are numbered in it.
    """
    content = {
        "base": base,
        "concepts": [[digest, weights.to_json()] for digest, weights in concepts],
        "engine": ENGINE_VERSION,
        **solving.to_json(),
    }
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return Digest(hashlib.sha256(canonical.encode()).hexdigest())
