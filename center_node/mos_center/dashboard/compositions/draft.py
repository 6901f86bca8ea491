"""A scene that is still being written: what the form's fields hold, as text, and as data."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

from mos_protocol.scene import MAX_REGIONS, Region, Scene

from mos_center.dashboard.visitor import Fields

_WHOLE = re.compile(r"-?\d{1,17}")
_NUMBER = re.compile(r"-?(\d{1,9}(\.\d{0,9})?|\.\d{1,9})")
_SEPARATORS = re.compile(r"[\s,;]+")
# Longer texts than a scene may have come as far as its check.
_MOST = 4000


@dataclass(frozen=True)
class DraftRegion:
    """A region as typed; `concept` are words that the prompt goes on from."""

    id: str
    concept: str = ""
    prompt: str = ""
    negative: str = ""
    weight: str = ""
    left: str = ""
    top: str = ""
    right: str = ""
    bottom: str = ""

    @property
    def box(self) -> tuple[int, int, int, int] | None:
        """left, top, right, bottom, if they make a box to be drawn."""
        sides = [_whole(side) for side in (self.left, self.top, self.right, self.bottom)]
        left, top, right, bottom = (side if isinstance(side, int) else -1 for side in sides)
        return (left, top, right, bottom) if 0 <= left < right and 0 <= top < bottom else None

    @property
    def whole_prompt(self) -> str:
        """What the region shows, with its concept in it."""
        if not self.concept or self.concept in self.prompt:
            return self.prompt
        return f"a {self.concept} {self.prompt}".strip()

    def data(self) -> dict[str, object]:
        """The region of a scene file."""
        sides = (self.left, self.top, self.right, self.bottom)
        found: dict[str, object] = {
            "id": self.id,
            "box": [_whole(side) for side in sides],
            "prompt": self.whole_prompt,
        }
        if self.negative:
            found["negative_prompt"] = self.negative
        if self.weight:
            found["weight"] = _number(self.weight)
        return found

    @classmethod
    def of(cls, region: Region) -> DraftRegion:
        sides = [str(side) for side in region.box or ()]
        weight = "" if region.weight == 1 else f"{region.weight:g}"
        return cls(region.id, "", region.prompt, region.negative_prompt or "", weight, *sides)


_REGION_FIELDS = tuple(DraftRegion.__dataclass_fields__)


@dataclass(frozen=True)
class Draft:
    """All fields of the form as text; the version is `model` and `version`."""

    model: str = ""
    version: str = ""
    prompt: str = ""
    negative: str = ""
    width: str = ""
    height: str = ""
    seeds: str = "0"
    steps: str = "20"
    guidance: str = "7.5"
    attention: str = "free"
    share: str = ""
    regions: tuple[DraftRegion, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the canvas, whatever is typed."""
        sides = (_whole(self.width), _whole(self.height))
        width, height = (
            min(side, 2048) if isinstance(side, int) and side > 0 else 512 for side in sides
        )
        return width, height

    def data(self) -> dict[str, Any]:
        """The scene as a JSON object; what can't be read as a number stays as it was typed."""
        seeds = [one for one in _SEPARATORS.split(self.seeds) if one]
        found: dict[str, Any] = {
            "prompt": self.prompt,
            "size": [_whole(self.width), _whole(self.height)],
            "seeds": [_whole(seed) for seed in seeds],
            "steps": _whole(self.steps),
            "guidance": _number(self.guidance),
        }
        if self.negative:
            found["negative_prompt"] = self.negative
        if self.regions:
            found["regions"] = [region.data() for region in self.regions]
        if self.attention != "free":
            found["self_attention"] = self.attention
        if self.share:
            found["self_attention_share"] = _number(self.share)
        return found

    def json(self) -> str:
        """The scene as text for a file, a line per box."""
        text = json.dumps(self.data(), indent=2, ensure_ascii=False)
        return re.sub(r"\[\s+([^\[\]{}]*?)\s+\]", lambda m: f"[{' '.join(m[1].split())}]", text)

    def with_region(self) -> Draft:
        """One region more, beside the others, unless there are as many as a scene may have."""
        if len(self.regions) >= MAX_REGIONS:
            return self
        width, height = self.size
        number = len(self.regions)
        taken = {region.id for region in self.regions}
        free = next(f"region-{n}" for n in range(1, MAX_REGIONS + 2) if f"region-{n}" not in taken)
        left = width // 2 * (number % 2)
        sides = (left, 0, left + width // 2, height)
        new = DraftRegion(free, "", "", "", "", *map(str, sides))
        return replace(self, regions=(*self.regions, new))

    def without(self, number: str) -> Draft:
        """Without the region at this place, counted from 1."""
        kept = [one for place, one in enumerate(self.regions, 1) if str(place) != number]
        return replace(self, regions=tuple(kept))

    @classmethod
    def from_fields(cls, fields: Fields) -> Draft:
        """What the form sent; raises `InvalidRequest` when a field is too long."""
        columns = [fields.all(f"region_{name}") for name in _REGION_FIELDS]
        rows = list(zip_longest(*columns, fillvalue=""))[: MAX_REGIONS + 1]
        names = [name for name in cls.__dataclass_fields__ if name != "regions"]
        texts = {name: fields.text(name, most=_MOST) for name in names}
        return cls(**texts, regions=tuple(DraftRegion(*row) for row in rows))

    @classmethod
    def of(cls, model: str, version: int, scene: Scene) -> Draft:
        """A scene to be changed; regions with masks and conditions are no matter of this form."""
        width, height = scene.size
        share = scene.self_attention_share
        return cls(
            model=model,
            version=str(version),
            prompt=scene.prompt,
            negative=scene.negative_prompt or "",
            width=str(width),
            height=str(height),
            seeds=", ".join(map(str, scene.seeds)),
            steps=str(scene.steps),
            guidance=f"{scene.guidance:g}",
            attention=scene.self_attention,
            share="" if share == 1 else f"{share:g}",
            regions=tuple(DraftRegion.of(one) for one in scene.regions if one.box),
        )


def faults_of(error_fields: Mapping[str, object], message: str) -> Sequence[str]:
    """What is wrong with a scene, one sentence each."""
    faults = error_fields.get("faults")
    if not isinstance(faults, list):
        return [message]
    return [": ".join(filter(None, (item["where"], item["reason"]))) for item in faults]


def _whole(text: str) -> int | str:
    return int(text) if _WHOLE.fullmatch(text) else text


def _number(text: str) -> float | str:
    return float(text) if _NUMBER.fullmatch(text) else text
