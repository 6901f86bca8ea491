"""Concept words: no two concepts of one model may share one."""

from __future__ import annotations

from collections.abc import Iterable

from mos_protocol.errors import Conflict
from mos_protocol.manifest import Manifest


def check_words(manifests: Iterable[Manifest]) -> None:
    """Raise `Conflict` when two concepts want the same word; nothing is ever overwritten."""
    owners: dict[str, str] = {}
    for manifest in manifests:
        for word in manifest.words:
            if word in owners:
                raise Conflict(
                    f"{owners[word]} and {manifest.concept} both use the word {word}.",
                    hint="Fuse only one of them, or tune one again with other words.",
                    word=word,
                )
            owners[word] = manifest.concept
