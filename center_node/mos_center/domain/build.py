"""The identity of a fusion's result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

from mos_protocol.layer_map import Part
from mos_protocol.names import Digest

from mos_center.domain.models import Solver

ENGINE_VERSION = "1"
"""Raised whenever the same request would give other bytes than before."""


def build_digest(
    *,
    base: Digest,
    concepts: Sequence[tuple[Digest, float]],
    solver: Solver,
    prior_weight: float,
    ridge: Mapping[Part, float] | None,
) -> Digest:
    """The sha256 over all that decides the result; `concepts` are manifest digests and weights.

    Their order counts: words are numbered in it.
    """
    content = {
        "base": base,
        "concepts": [[digest, float(weight)] for digest, weight in concepts],
        "solver": solver.value,
        "prior_weight": float(prior_weight),
        "ridge": {part.value: float(value) for part, value in ridge.items()} if ridge else None,
        "engine": ENGINE_VERSION,
    }
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return Digest(hashlib.sha256(canonical.encode()).hexdigest())
