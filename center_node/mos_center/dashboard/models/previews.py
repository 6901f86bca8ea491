"""Which of a version's files show its concepts, and which of a package's pictures stand beside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from mos_center.domain.models import ModelVersion

_FOLDER = "previews"


def fused_previews(version: ModelVersion) -> dict[str, str]:
    """The picture of each concept in the fused model: path by `owner/name@3`."""
    if version.tombstoned_at is not None:
        return {}
    files = {file.path for file in version.files}
    seen: Counter[str] = Counter()
    found = {}
    for concept in version.concepts:
        seen[concept.name] += 1
        # Of two versions of one concept, the second's picture ends in @2.
        number = f"@{seen[concept.name]}" if seen[concept.name] > 1 else ""
        path = f"{_FOLDER}/{concept.name}{number}.png"
        if path in files:
            found[f"{concept.name}@{concept.version}"] = path
    return found


def first_preview(version: ModelVersion) -> str:
    """The picture for a card; "" when there is none."""
    return next(iter(fused_previews(version).values()), "")


def own_preview(paths: Iterable[str]) -> str:
    """Of a package's pictures the one at full LoRA scale, as fused models are sampled; or ""."""
    return next((path for path in paths if "1.0" in path.rpartition("/")[2]), "")
