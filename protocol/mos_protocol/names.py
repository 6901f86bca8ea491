"""Names and references: `owner/concept@3`, `model@7`, `<word>`, sha256 digests."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NewType

from mos_protocol.errors import InvalidName

Digest = NewType("Digest", str)
"""A sha256 as 64 lower-case hex digits."""

SLUG_PATTERN = r"[a-z0-9][a-z0-9._-]{0,62}"
CONCEPT_PATTERN = rf"^{SLUG_PATTERN}/{SLUG_PATTERN}$"
WORD_PATTERN = r"^<[a-z0-9_-]{1,40}>$"
DIGEST_PATTERN = r"^[0-9a-f]{64}$"
LATEST = "latest"

_SLUG = re.compile(SLUG_PATTERN)
_WORD = re.compile(WORD_PATTERN)
_VERSION = re.compile(r"[1-9][0-9]{0,8}")


@dataclass(frozen=True, order=True)
class ConceptName:
    """A concept's name, `owner/name`; versions of it are integers from 1."""

    owner: str
    name: str

    def __str__(self) -> str:
        return f"{self.owner}/{self.name}"


@dataclass(frozen=True, order=True)
class ConceptRef:
    """One immutable version of a concept, `owner/name@3`; no version means the latest one."""

    concept: ConceptName
    version: int | None = None

    def __str__(self) -> str:
        return f"{self.concept}@{self.version}" if self.version else str(self.concept)


@dataclass(frozen=True)
class ModelRef:
    """A model at a version or an alias, `demo@7` or `demo@champion`; `demo` means the latest."""

    name: str
    revision: str = LATEST

    @property
    def version(self) -> int | None:
        """The version when the revision is a number, else None: an alias must be looked up."""
        return int(self.revision) if self.revision.isdigit() else None

    def __str__(self) -> str:
        return f"{self.name}@{self.revision}"


def check_slug(text: str, what: str = "name") -> str:
    """Return `text` when it is a slug; raise `InvalidName` otherwise."""
    if not _SLUG.fullmatch(text):
        raise InvalidName(
            f"{text!r} is no valid {what}.",
            hint="Use lower-case letters, digits, dot, dash and underscore; at most 63 of them.",
        )
    return text


def parse_concept_name(text: str) -> ConceptName:
    """Parse `owner/name`; raise `InvalidName` when it is anything else."""
    owner, slash, name = text.partition("/")
    if not slash:
        raise InvalidName(
            f"{text!r} names no concept.", hint="Write it as owner/name, for example ada/potter."
        )
    return ConceptName(check_slug(owner, "owner"), check_slug(name, "concept name"))


def parse_concept_ref(text: str) -> ConceptRef:
    """Parse `owner/name` or `owner/name@3`; raise `InvalidName` when it is anything else."""
    name, at, version = text.partition("@")
    if at and not _VERSION.fullmatch(version):
        raise InvalidName(
            f"{version!r} is no concept version.", hint="Versions are whole numbers from 1."
        )
    return ConceptRef(parse_concept_name(name), int(version) if at else None)


def parse_model_ref(text: str) -> ModelRef:
    """Parse `model`, `model@7` or `model@alias`; raise `InvalidName` when it is anything else."""
    name, at, revision = text.partition("@")
    check_slug(name, "model name")
    return ModelRef(name, check_slug(revision, "version or alias") if at else LATEST)


def parse_words(text: str) -> tuple[str, ...]:
    """Parse `"<potter1> <potter2>"`; raise `InvalidName` when a word is malformed or repeated."""
    words = tuple(text.split())
    malformed = [word for word in words if not _WORD.fullmatch(word)]
    if not words or malformed:
        raise InvalidName(
            f"{text!r} is no list of concept words.",
            hint='Write each word in angle brackets, for example "<potter1> <potter2>".',
        )
    if len(set(words)) != len(words):
        raise InvalidName(f"{text!r} repeats a word.", hint="Give each word once.")
    return words
