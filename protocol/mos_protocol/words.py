"""Concept words: no two concepts of one model may share one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mos_protocol.errors import Conflict


@dataclass(frozen=True)
class SharedWords:
    """Words that several concepts have, both in their order."""

    words: tuple[str, ...]
    concepts: tuple[str, ...]

    def error(self) -> Conflict:
        """What is told of it."""
        *others, last = self.concepts
        what = "word" if len(self.words) == 1 else "words"
        return Conflict(
            f"{', '.join(others)} and {last} share the {what} {' '.join(self.words)}.",
            hint="Keep one of them, or tune the others again with other words.",
            word=self.words[0],
        )


def shared_words(words_of: Iterable[tuple[str, tuple[str, ...]]]) -> list[SharedWords]:
    """The words that more than one of the (concept, words) has, by the concepts that have them."""
    owners: dict[str, tuple[str, ...]] = {}
    for concept, words in words_of:
        for word in words:
            owners[word] = (*owners.get(word, ()), concept)
    shared: dict[tuple[str, ...], tuple[str, ...]] = {}
    for word, concepts in owners.items():
        if len(concepts) > 1:
            shared[concepts] = (*shared.get(concepts, ()), word)
    return [SharedWords(words, concepts) for concepts, words in shared.items()]


def check_words(words_of: Iterable[tuple[str, tuple[str, ...]]]) -> None:
    """Raise `Conflict` when some of the (concept, words) share a word; nothing is overwritten."""
    for shared in shared_words(words_of):
        raise shared.error()
