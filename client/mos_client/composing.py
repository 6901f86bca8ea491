"""Compositions and storyboards from a model folder, on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from accelerate import PartialState
from mos_diffusion.base_model import BaseModel, load_base
from mos_diffusion.composing import compose, known_words, scene_provenance
from mos_diffusion.conditions import load_adapter
from mos_diffusion.provenance import Provenance
from mos_protocol.scene import Scene
from mos_protocol.scene_file import read_scene, read_storyboard
from PIL import Image, ImageDraw, ImageFont

OnStep = Callable[[int, int], None]

_GAP = 12
_LINE = 22


class Composer:
    """Draws the scenes of a file, or of a storyboard's, with one model."""

    def __init__(
        self,
        folder: Path | str,
        *,
        adapters: Mapping[str, Path] | None = None,
        device: str | None = None,
    ) -> None:
        """Load the model; adapters: folders of T2I-Adapters by kind. Raises `InvalidRequest`."""
        chosen = device or PartialState().device
        self._model: BaseModel = load_base(folder, device=chosen)
        self._adapters = {
            kind: load_adapter(path, self._model.device, self._model.dtype)
            for kind, path in (adapters or {}).items()
        }

    def scene(self, text: bytes) -> Scene:
        """The scene in the text of a file; raises `InvalidRequest` if the model can't draw it."""
        return read_scene(
            text,
            words=known_words(self._model.tokenizer),
            files=True,
            factor=self._model.vae_factor,
        )

    def scenes(self, text: bytes) -> tuple[Scene, ...]:
        """The scenes of a storyboard, likewise."""
        board = read_storyboard(
            text,
            words=known_words(self._model.tokenizer),
            files=True,
            factor=self._model.vae_factor,
        )
        return board.scenes

    def draw(
        self,
        scene: Scene,
        beside: Path,
        on_step: OnStep | None = None,
        *,
        watermark: bool = True,
    ) -> list[Image.Image]:
        """One picture per seed; `beside` is the folder of the scene's masks and pictures."""
        return compose(
            self._model,
            scene,
            folder=beside,
            adapters=self._adapters,
            on_step=on_step,
            watermark=watermark,
        )

    def provenance(self, name: str, scene: Scene | None = None) -> Provenance:
        """What the files of the scene's pictures say, or those of a sheet of several scenes.

        `name` is what the model is called there.
        """
        if scene is None:
            return Provenance.of(self._model.published, name)
        return scene_provenance(self._model, scene, name)


def contact_sheet(
    titles: Sequence[str], rows: Sequence[Sequence[Image.Image]], title: str = ""
) -> Image.Image:
    """A row of pictures per scene with its title above, and one over all."""
    width = max(sum(picture.width + _GAP for picture in row) for row in rows) + _GAP
    heights = [_LINE + row[0].height + _GAP for row in rows]
    head = 2 * _LINE if title else _GAP
    sheet = Image.new("RGB", (max(width, _width([title, *titles])), head + sum(heights)), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, _GAP), title, "black", ImageFont.load_default(18))
    top = head
    for name, row, height in zip(titles, rows, heights, strict=True):
        draw.text((_GAP, top), name, "black", ImageFont.load_default(14))
        left = _GAP
        for picture in row:
            sheet.paste(picture, (left, top + _LINE))
            left += picture.width + _GAP
        top += height
    return sheet


def _width(texts: Iterable[str]) -> int:
    font = ImageFont.load_default(18)
    return 2 * _GAP + min(1600, int(max(font.getlength(text) for text in texts)))
