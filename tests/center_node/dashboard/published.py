"""Versions with all that a page of theirs shows: files, pictures, a report."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from center_steps import publish_as
from mos_center.domain.access import LOCAL, Caller
from mos_center.domain.models import Fusion
from mos_center.service.center import Center
from mos_center.service.fusion_requests import FusionRequest, WantedConcept
from PIL import Image
from reports import small_report

CARD = b"---\ntags: [mos]\n---\n\n# What it is\n\n![q](quality.png)\n"


def png(width: int = 800, height: int = 200) -> bytes:
    """A picture of one colour."""
    out = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(out, "PNG")
    return out.getvalue()


def published(
    center: Center,
    running: Any,
    model: str,
    concepts: Mapping[str, float],
    *,
    files: Mapping[str, bytes] | None = None,
    previews: bool = True,
    report: Mapping[str, Any] | None = None,
    caller: Caller = LOCAL,
) -> Fusion:
    """A version of concepts, `owner/name@1`, that keep so much; `report` replaces entries."""
    wanted = [WantedConcept(*_named(ref)) for ref in concepts]
    pictures = {f"previews/{ref.partition('@')[0]}.png": png() for ref in concepts}
    return publish_as(
        center,
        running.data,
        FusionRequest(model, "small", wanted),
        {"README.md": CARD, "quality.png": png(64, 64)}
        | (pictures if previews else {})
        | dict(files or {}),
        small_report(concepts) | dict(report or {}),
        caller,
    )


def _named(ref: str) -> tuple[str, int]:
    name, _, version = ref.partition("@")
    return name, int(version)
