"""Scenes: what a picture shows and where, as data.

A scene has a prompt for the whole picture and regions with prompts of their own. Boxes are in
pixels from the upper left corner, the right and lower edges not included.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from mos_protocol.manifest import PLAIN_TEXT

MAX_PROMPT_CHARS = 1000
MAX_TITLE_CHARS = 200
MAX_REGIONS = 16
MAX_CONDITIONS = 4
MAX_SEEDS = 64
MAX_SCENES = 64
MIN_SIDE, MAX_SIDE = 64, 2048
# JSON numbers above this lose digits in a browser.
MAX_SEED = (1 << 53) - 1
ID_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,39}$"
_WORD = re.compile(r"<[^<>\s]{1,60}>")

Prompt = Annotated[str, Field(max_length=MAX_PROMPT_CHARS, pattern=PLAIN_TEXT)]
Title = Annotated[str, Field(max_length=MAX_TITLE_CHARS, pattern=PLAIN_TEXT)]
Picture = Annotated[str, Field(min_length=1)]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
Side = Annotated[int, Field(ge=MIN_SIDE, le=MAX_SIDE)]
Share = Annotated[float, Field(ge=0, le=1)]
# Sequences of a decoded JSON document are lists; what is in them stays strict.
Size = Annotated[tuple[Side, Side], Field(strict=False)]
Box = Annotated[tuple[int, int, int, int], Field(strict=False)]
Seeds = Annotated[tuple[Seed, ...], Field(strict=False, min_length=1, max_length=MAX_SEEDS)]
SelfAttention = Literal["free", "regions"]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Region(_Strict):
    """A part of the picture: a box, or the white of a mask, and what is there.

    Weights count where regions overlap. Where they add up to less than 1, the context has the
    rest.
    """

    id: str = Field(pattern=ID_PATTERN, description="Names the region; unique in the scene.")
    prompt: Prompt = Field(description="What the region shows.")
    negative_prompt: Prompt | None = Field(
        None, description="What it doesn't show; the scene's own unless given."
    )
    box: Box | None = Field(None, description="left, top, right, bottom in pixels.")
    mask: Picture | None = Field(
        None, description="A PNG of the scene's size, white inside: a file, or a data: URL."
    )
    weight: float = Field(1.0, gt=0, le=10, description="How much it counts in overlaps.")


class Condition(_Strict):
    """A picture that guides the shapes, through a T2I-Adapter of its kind."""

    kind: Literal["pose", "sketch"] = Field(description="Which adapter reads the picture.")
    picture: Picture = Field(description="A PNG: a file, or a data: URL.")
    weight: float = Field(1.0, ge=0, le=2, description="How strongly it guides.")
    region_weights: dict[str, Annotated[float, Field(ge=0, le=2)]] = Field(
        default_factory=dict, description="Other weights inside regions, by id."
    )


class SceneDefaults(_Strict):
    """What the scenes of a storyboard share unless they say otherwise."""

    size: Size | None = Field(None, description="Width and height in pixels, multiples of 8.")
    negative_prompt: Prompt | None = None
    seeds: Seeds = (0,)
    steps: int = Field(20, ge=1, le=1000)
    guidance: float = Field(7.5, ge=0, le=50)
    self_attention: SelfAttention = "free"
    self_attention_share: Share = 1.0


class Scene(SceneDefaults):
    """One picture per seed: a prompt for all of it, and regions with their own."""

    title: Title = Field("", description="What a storyboard calls the scene.")
    prompt: Prompt = Field(description="The context: what all of the picture shows.")
    negative_prompt: Prompt | None = Field(
        None, description="What the picture doesn't show (a stock list of flaws)."
    )
    size: Size = Field(description="Width and height in pixels, multiples of 8.")
    seeds: Seeds = Field((0,), description="One picture per seed.")
    steps: int = Field(20, ge=1, le=1000, description="Denoising steps.")
    guidance: float = Field(7.5, ge=0, le=50, description="Classifier-free guidance scale.")
    regions: Annotated[tuple[Region, ...], Field(strict=False, max_length=MAX_REGIONS)] = ()
    conditions: Annotated[
        tuple[Condition, ...], Field(strict=False, max_length=MAX_CONDITIONS)
    ] = ()
    self_attention: SelfAttention = Field(
        "free", description="`regions`: pixels of one region don't look at another's."
    )
    self_attention_share: Share = Field(
        1.0, description="The first share of the steps in which that holds."
    )

    def prompts(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Every prompt of the scene with the path of its field."""
        yield ("prompt",), self.prompt
        if self.negative_prompt is not None:
            yield ("negative_prompt",), self.negative_prompt
        for number, region in enumerate(self.regions):
            yield ("regions", number, "prompt"), region.prompt
            if region.negative_prompt is not None:
                yield ("regions", number, "negative_prompt"), region.negative_prompt

    def words(self) -> frozenset[str]:
        """Every `<word>` that its prompts use."""
        return frozenset(word for _, prompt in self.prompts() for word in words_in(prompt))


class Storyboard(_Strict):
    """Scenes in their order, for one contact sheet."""

    title: Title = ""
    scenes: Annotated[tuple[Scene, ...], Field(strict=False, min_length=1, max_length=MAX_SCENES)]


def words_in(prompt: str) -> list[str]:
    """The `<words>` of a prompt, in their order."""
    return _WORD.findall(prompt)
