"""What a published model folder calls itself: its build, and the concepts that it holds."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from mos_protocol.names import DIGEST_PATTERN, Digest

_INDEX = "concepts.json"


@dataclass(frozen=True)
class PublishedIdentity:
    """The digest over all that decided the weights, and the concepts as `owner/name@version`."""

    build: Digest
    concepts: tuple[str, ...]


def read_identity(folder: Path) -> PublishedIdentity | None:
    """What the folder's `concepts.json` says; None for a base, and where it names no build."""
    try:
        index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        build, names = index.get("build"), [str(item["name"]) for item in index["concepts"]]
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    if not isinstance(build, str) or not re.fullmatch(DIGEST_PATTERN, build):
        return None
    return PublishedIdentity(Digest(build), tuple(names))
