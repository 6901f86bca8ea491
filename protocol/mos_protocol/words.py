"""Concept words: no two concepts of one model may share one."""

from __future__ import annotations

from collections.abc import Iterable

from mos_protocol.errors import Conflict


def check_words(words_of: Iterable[tuple[str, tuple[str, ...]]]) -> None:
    """Raise `Conflict` when two of the (concept, words) share a word; nothing is overwritten."""
    owners: dict[str, str] = {}
    for concept, words in words_of:
        for word in words:
            if word in owners:
                raise Conflict(
                    f"{owners[word]} and {concept} share the word {word}.",
                    hint="Leave one of them out, or tune one again with other words.",
                    word=word,
                )
            owners[word] = concept
