"""A long audit log whose chain is whole."""

from __future__ import annotations

import json
from collections.abc import Iterator

from mos_center.domain.events import FIRST_HASH
from mos_center.storage.repositories.audit import entry_hash

from crowd.concepts import Version
from crowd.models import Fused
from crowd.rows import Chance, Row

ACTIONS = {
    "submission.decided": "concept",
    "concept.shown": "concept",
    "fusion.requested": "fusion",
    "fusion.cancelled": "fusion",
    "alias.moved": "model",
    "token.created": "token",
}


def audit_rows(
    chance: Chance, people: list[str], versions: list[Version], fusions: list[Fused], count: int
) -> Iterator[Row]:
    """Entries from number 1 on; each covers the one before."""
    draw, previous = chance.random, FIRST_HASH
    actions = list(ACTIONS)
    for seq, moment in enumerate(chance.moments(count), 1):
        action, actor = draw.choice(actions), draw.choice(people)
        row: Row = {
            "seq": seq,
            "at": moment,
            "actor": actor,
            "action": action,
            "resource": _resource(chance, ACTIONS[action], actor, versions, fusions),
            "before": json.dumps({"state": "pending_review"}),
            "after": json.dumps({"reason": "", "state": "approved"}),
            "request_id": f"{draw.getrandbits(128):032x}",
            "previous": previous,
        }
        row["hash"] = previous = entry_hash(row)
        yield row


def _resource(
    chance: Chance, kind: str, actor: str, versions: list[Version], fusions: list[Fused]
) -> str:
    version, fused = chance.random.choice(versions), chance.random.choice(fusions)
    return {
        "concept": f"concept/{version.owner}/{version.name}@{version.number or 1}",
        "fusion": f"fusion/{fused.id}",
        "model": f"model/{fused.model}/champion",
        "token": f"token/{actor}/laptop-0",
    }[kind]
