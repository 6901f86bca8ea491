"""How well pictures follow their prompts, and how much they look like a concept's own pictures.

Both are cosines of unit embeddings. Text-alignment is CLIPScore (arXiv 2104.08718), 2.5·max(cos, 0)
of a picture and its text; image-alignment is the mean of max(cos, 0) over a concept's pictures.
Legend: n pictures, m reference pictures, d width of the embeddings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from mos_protocol.errors import InvalidRequest
from mos_protocol.names import Digest
from PIL import Image, ImageOps
from safetensors import SafetensorError
from torch import nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoImageProcessor, AutoModel, CLIPModel, CLIPProcessor

from mos_diffusion.weight_digest import WeightDigest

DEFAULT_CLIP = "openai/clip-vit-base-patch32"
TEXT_SCALE = 2.5
Picture = Image.Image | Path


class PictureEncoder(Protocol):
    """What turns pictures into unit embeddings."""

    name: str
    digest: Digest

    def pictures(self, pictures: Sequence[Picture], batch_size: int = 64) -> torch.Tensor:
        """Unit embeddings (n, d), fp32 on the CPU, of at least one picture."""
        ...


class Clip:
    """A CLIP: unit embeddings of pictures and texts; every text is encoded once."""

    def __init__(self, name: str, model: CLIPModel, processor: CLIPProcessor) -> None:
        self.name = name
        self.digest = _digest(model)
        self._model = model
        self._processor = processor
        self._known: dict[str, torch.Tensor] = {}

    @torch.no_grad()
    def pictures(self, pictures: Sequence[Picture], batch_size: int = 64) -> torch.Tensor:
        """Unit embeddings (n, d), fp32 on the CPU; files are opened batch by batch."""

        def embed(batch: list[Image.Image]) -> torch.Tensor:
            inputs = self._processor(images=batch, return_tensors="pt").to(self._model.device)
            features = self._model.get_image_features(pixel_values=inputs.pixel_values)
            return torch.as_tensor(features.pooler_output)

        return _in_batches(pictures, embed, batch_size)

    def texts(self, texts: Sequence[str], batch_size: int = 64) -> torch.Tensor:
        """Unit embeddings (n, d), fp32 on the CPU; longer texts than the CLIP takes are cut."""
        unknown = [text for text in dict.fromkeys(texts) if text not in self._known]
        for start in range(0, len(unknown), batch_size):
            batch = unknown[start : start + batch_size]
            self._known.update(zip(batch, self._embed_texts(batch), strict=True))
        return torch.stack([self._known[text] for text in texts])

    @torch.no_grad()
    def _embed_texts(self, texts: list[str]) -> torch.Tensor:
        inputs = self._processor(
            text=texts,
            padding="max_length",
            truncation=True,
            max_length=self._model.config.text_config.max_position_embeddings,
            return_tensors="pt",
        ).to(self._model.device)
        features = self._model.get_text_features(
            input_ids=inputs.input_ids, attention_mask=inputs.attention_mask
        )
        return _unit(torch.as_tensor(features.pooler_output))


class Dino:
    """A vision transformer trained without texts (DINO): its class token, as unit embeddings."""

    def __init__(self, name: str, model: nn.Module, processor: Any) -> None:
        self.name = name
        self.digest = _digest(model)
        self._model: Any = model
        self._processor = processor

    @torch.no_grad()
    def pictures(self, pictures: Sequence[Picture], batch_size: int = 64) -> torch.Tensor:
        """Unit embeddings (n, d), fp32 on the CPU; files are opened batch by batch."""

        def embed(batch: list[Image.Image]) -> torch.Tensor:
            inputs = self._processor(images=batch, return_tensors="pt").to(self._model.device)
            states: torch.Tensor = self._model(inputs.pixel_values).last_hidden_state
            return states[:, 0]

        return _in_batches(pictures, embed, batch_size)


def load_clip(source: str | Path = DEFAULT_CLIP, device: str | torch.device = "cpu") -> Clip:
    """Load a CLIP from a folder or hub id, safetensors only; raise `InvalidRequest` otherwise."""
    with _loading(source, "CLIP"):
        kind = AutoConfig.from_pretrained(str(source)).model_type
        if kind != "clip":
            raise ValueError(f"it is a {kind}, not a clip.")
        processor = CLIPProcessor.from_pretrained(str(source))
        model = CLIPModel.from_pretrained(str(source), use_safetensors=True, dtype=torch.float32)
    return Clip(str(source), model.to(device).eval(), processor)


def load_dino(source: str | Path, device: str | torch.device = "cpu") -> Dino:
    """Load a vision transformer from a folder or hub id; raise `InvalidRequest` otherwise."""
    with _loading(source, "DINO"):
        # First: where nothing can be reached, each file that is looked for costs half a minute.
        AutoConfig.from_pretrained(str(source))
        processor = AutoImageProcessor.from_pretrained(str(source))
        model = AutoModel.from_pretrained(str(source), use_safetensors=True, dtype=torch.float32)
    return Dino(str(source), model.to(device).eval(), processor)


def text_alignment(pictures: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
    """2.5·max(cos, 0) of each picture (n, d) and its own text (n, d) → (n,)."""
    return TEXT_SCALE * (pictures * texts).sum(-1).clamp(min=0)


def image_alignment(pictures: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
    """Of each picture (n, d) the mean of max(cos, 0) over all references (m, d) → (n,)."""
    return (pictures @ references.T).clamp(min=0).mean(-1)


def open_picture(picture: Picture) -> Image.Image:
    """The picture, upright and RGB; raise `InvalidRequest` for a file that is none."""
    if isinstance(picture, Image.Image):
        return picture.convert("RGB")
    try:
        with Image.open(picture) as file:
            return ImageOps.exif_transpose(file).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InvalidRequest(
            f"{picture} can't be read as a picture ({error}).",
            hint="Save it again as PNG or JPEG, or remove it.",
        ) from None


def _in_batches(
    pictures: Sequence[Picture], embed: Callable[[list[Image.Image]], torch.Tensor], size: int
) -> torch.Tensor:
    return torch.cat(
        [
            _unit(embed([open_picture(picture) for picture in pictures[start : start + size]]))
            for start in range(0, len(pictures), size)
        ]
    )


def _unit(features: torch.Tensor) -> torch.Tensor:
    return F.normalize(features.float().cpu(), dim=-1)


def _digest(model: nn.Module) -> Digest:
    """What tells one set of weights from another."""
    digest = WeightDigest()
    for name, tensor in sorted(model.named_parameters()):
        digest.add(name, tensor.shape)
        digest.values(tensor.detach())
    return digest.digest()


@contextmanager
def _loading(source: str | Path, what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, LookupError, AttributeError, SafetensorError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InvalidRequest(
            f"The {what} {str(source)!r} can't be loaded: {reason}",
            hint=f"Give the folder of a {what} in transformers layout with safetensors files, or "
            "its hub id where the network reaches it.",
        ) from error
