"""The settings of one import: validated where they are made, never changed afterwards."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from mos_protocol.errors import InvalidRequest
from mos_protocol.manifest import MAX_TEXT_CHARS, MAX_WORDS, PLAIN_TEXT
from mos_protocol.names import check_slug, parse_concept_name, parse_words

from mos_client.tuning.settings import base_name_of

Recording = Literal["templates", "paper", "data"]
_CLASS_WORD = re.compile(r"[a-z]{1,40}")


@dataclass(frozen=True, kw_only=True)
class ImportSettings:
    """Which file becomes which concept, what its words start from, and how it is recorded.

    The words' embeddings are those in `embedding`, else the tokens of `trigger`, else those that
    the LoRA's file bundles, else the class word's. `class_word=None` is the last word of a trigger
    of several.
    `recording="data"` needs `images`, each shown `passes` times; `"templates"` samples four
    pictures per pass. `resolution=None` is the base's own
    size, `device=None` the GPU if any. Raises `InvalidRequest`.
    """

    file: Path
    name: str
    words: tuple[str, ...]
    base: str
    base_name: str | None = None
    class_word: str | None = None
    trigger: str | None = None
    embedding: Path | None = None
    skip_unsupported: bool = False
    recording: Recording = "templates"
    images: Path | None = None
    passes: int = 6
    seed: int = 0
    resolution: int | None = None
    preview_steps: int = 20
    device: str | None = None
    licence: str = ""
    consent: str = ""
    description: str = ""
    overwrite: bool = False

    def __post_init__(self) -> None:
        parse_concept_name(self.name)
        parse_words(" ".join(self.words))
        if self.base_name is not None:
            check_slug(self.base_name, "base name")
        if len(self.words) > MAX_WORDS:
            raise InvalidRequest(
                f"There are {len(self.words)} words.", hint=f"At most {MAX_WORDS} make a concept."
            )
        if self.embedding is not None and self.trigger is not None:
            raise InvalidRequest(
                "An embedding and a trigger are given: the words can only start from one.",
                hint="Leave one of the two out.",
            )
        if not _CLASS_WORD.fullmatch(self.kind):
            raise InvalidRequest(
                f"The class word {self.kind!r} is not one lower-case word."
                if self.kind
                else "What kind of thing the concept is can't be told from the file.",
                hint="Say it with --class-word, for example man, cat or chair.",
            )
        self._check_recording()
        self._check_texts()

    def _check_recording(self) -> None:
        if self.recording not in get_args(Recording):
            raise InvalidRequest(
                f"recording is {self.recording!r}.",
                hint=f"Choose one of {', '.join(get_args(Recording))}.",
            )
        if (self.recording == "data") != (self.images is not None):
            raise InvalidRequest(
                "Recording on data needs pictures."
                if self.images is None
                else f"Pictures are given, but moments are recorded on {self.recording}.",
                hint="Give --moments data --images DIR together, or neither.",
            )
        if self.passes < 1 or not 0 <= self.seed < 1 << 62:
            raise InvalidRequest(
                f"{self.passes} passes with seed {self.seed} can't be recorded.",
                hint="Passes start at 1, seeds at 0.",
            )

    def _check_texts(self) -> None:
        for name in ("licence", "consent", "description"):
            text: str = getattr(self, name)
            if len(text) > MAX_TEXT_CHARS or not re.match(PLAIN_TEXT, text):
                raise InvalidRequest(
                    f"The {name} is no plain text of at most {MAX_TEXT_CHARS} characters.",
                    hint="Shorten it, and leave control codes out.",
                )

    @property
    def kind(self) -> str:
        """The class word: as given, else the last of the trigger's several words, else empty."""
        if self.class_word is not None:
            return self.class_word
        said = (self.trigger or "").split()
        return said[-1] if len(said) > 1 else ""

    @property
    def base_label(self) -> str:
        """The base's name for people: as given, else made from the folder's or hub id's end."""
        return self.base_name or base_name_of(self.base)
