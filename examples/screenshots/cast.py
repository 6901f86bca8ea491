"""Who takes part in the pictures of the dashboard, and what they tuned."""

from __future__ import annotations

from dataclasses import dataclass

from tinyworld.concepts import CONCEPTS

OPEN = "CC-BY-4.0"
OWN = "drawn by the owner; nobody is shown"


@dataclass(frozen=True)
class Tuned:
    """One version of a concept: what its package is made of and says about itself."""

    owner: str
    name: str
    description: str
    visibility: str = "public"
    licence: str = OPEN
    consent: str = OWN
    steps: int = 200
    # What is drawn, if the concept is called otherwise.
    drawn: str = ""
    version: int = 1

    @property
    def concept(self) -> str:
        return f"{self.owner}/{self.name}"

    @property
    def ref(self) -> str:
        return f"{self.concept}@{self.version}"

    @property
    def package(self) -> str:
        """The name of its folder."""
        return f"{self.owner}-{self.name}-{self.version}"

    @property
    def subject(self) -> str:
        """What of tinyworld it shows; its words are those of the subject."""
        return self.drawn or self.name

    @property
    def words(self) -> str:
        return " ".join(CONCEPTS[self.subject].words)

    @property
    def class_word(self) -> str:
        return CONCEPTS[self.subject].class_word


# In the order in which they are submitted.
TUNED = (
    Tuned("ada", "zigmug", "My breakfast mug, blue with a yellow zigzag."),
    Tuned("grace", "mittens", "The office cat, first try with few steps.", steps=80),
    Tuned("edsger", "gift", "A pink box with a ribbon."),
    Tuned("barbara", "nova", "The star of our winter campaign.", licence="CC-BY-SA-4.0"),
    Tuned("grace", "mittens", "The office cat, tuned for longer.", version=2),
    Tuned("alan", "clown", "A fish with three stripes."),
    Tuned("ada", "dice", "A white dice with a pink top.", visibility="shared"),
    Tuned("katherine", "aurora", "The sky above Tromsø in March.", licence="CC0-1.0"),
    Tuned("edsger", "buggy", "The red car of the brochure.", visibility="private"),
    Tuned("barbara", "kitten", "My own cat; it goes by the same word.", drawn="mittens"),
    Tuned("alan", "moonmug", "A navy mug with a moon."),
    Tuned("katherine", "berry", "A tree full of berries."),
    Tuned("edsger", "haunt", "A house.", licence="", consent="", steps=80),
)
