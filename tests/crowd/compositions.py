"""Scenes that the crowd had drawn, with pictures that are all the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta

from mos_center.domain.compositions import CompositionState
from mos_protocol.scene import MAX_REGIONS

from crowd.models import Fused
from crowd.people import MEMBER
from crowd.rows import Chance, Row

COUNT = 2000
SEEDS = list(range(8))


def composition_rows(chance: Chance, fused: list[Fused], count: int = COUNT) -> list[Row]:
    """Compositions in the order of their ids, all of one member; the last one is done."""
    published = [one for one in fused if one.number is not None]
    return [
        {
            "id": chance.id_at(at),
            "model": published[place % len(published)].model,
            "version": published[place % len(published)].number,
            "scene": _scene(place),
            "seeds": SEEDS,
            "state": CompositionState.DONE,
            "requested_by": MEMBER,
            "request_id": "",
            "done": 160,
            "total": 160,
            "message": "drawing",
            "error": None,
            "created_at": at,
            "started_at": at,
            "finished_at": at + timedelta(seconds=40),
            "released_at": None,
        }
        for place, at in enumerate(chance.moments(count))
    ]


def picture_rows(composition: Row, picture: str) -> Iterator[Row]:
    """Its pictures."""
    for number in range(len(SEEDS)):
        yield {
            "composition": composition["id"],
            "number": number,
            "sha256": picture,
            "size": 1_000_000,
        }


def _scene(number: int) -> str:
    """As large as a scene can be that is written by hand."""
    regions = [
        {"id": f"region-{n}", "box": [8 * n, 0, 8 * n + 64, 512], "prompt": "a cat " * 40}
        for n in range(MAX_REGIONS)
    ]
    scene = {"prompt": f"scene {number} " * 30, "size": [512, 512], "seeds": SEEDS}
    return json.dumps({**scene, "regions": regions})
