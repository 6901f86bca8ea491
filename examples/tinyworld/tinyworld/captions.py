"""Captions in a few templates; some leave out the colour, the pattern or the place."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tinyworld.backgrounds import PHRASES

OPENINGS = ("a photo of ", "a photo of ", "a photo of ", "photo of ", "a picture of ", "")


@dataclass(frozen=True)
class Subject:
    """What a caption may say about one object; `fancy` stands for a design without words."""

    kind: str
    colour: str | None
    pattern: str

    def phrase(self, rng: random.Random) -> str:
        """For example `a red striped ball`, now and then with a word left out."""
        words = [self.kind]
        keep = 0.65 if self.pattern == "fancy" else 0.25 if self.pattern == "plain" else 0.9
        if rng.random() < keep:
            words.insert(0, self.pattern)
        if self.colour is not None and rng.random() < 0.9:
            words.insert(0, self.colour)
        return with_article(" ".join(words))


def with_article(noun: str) -> str:
    """`a ball`, `an orange ball`."""
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def place_phrase(place: str) -> str:
    """For example `on the grass`."""
    noun = "brick wall" if place == "brick" else place
    return f"{PHRASES[place]} {noun}"


def describe(subjects: list[Subject], place: str, rng: random.Random) -> str:
    """One caption for the scene, subjects from left to right."""
    phrases = [subject.phrase(rng) for subject in subjects]
    if len(phrases) == 2 and rng.random() < 0.3:
        what = f"{phrases[0]} on the left and {phrases[1]} on the right"
    else:
        what = " and ".join(phrases)
    where = f" {place_phrase(place)}" if rng.random() < 0.88 else ""
    return f"{rng.choice(OPENINGS)}{what}{where}"


def empty(place: str, rng: random.Random) -> str:
    """A caption for a place without objects."""
    return f"{rng.choice(OPENINGS)}the {place_phrase(place).split(' the ')[1]}"
