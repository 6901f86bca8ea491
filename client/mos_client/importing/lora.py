"""A stranger's LoRA as the weights of a concept for one base model.

Legend: r rank, W words, L cross-attention layers, d width.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from mos_diffusion.adapters import LoraFactors
from mos_diffusion.base_model import BaseModel
from mos_diffusion.edlora import ConceptWeights
from mos_diffusion.formats import read_lora
from mos_protocol.errors import InvalidRequest
from mos_protocol.layer_map import LayerMap
from mos_protocol.manifest import MAX_RANK, ImportSummary, sha256_of

from mos_client.importing.settings import ImportSettings
from mos_client.importing.words import word_rows

_SHOWN = 3
_SECOND_ENCODER = ("lora_te2_", "text_encoder_2", "te2_")
# Singular values below this share of the largest are rounding of float32 files.
_ROUNDING = 1e-7


def read_concept(
    base: BaseModel, layers: LayerMap, settings: ImportSettings
) -> tuple[ConceptWeights, ImportSummary]:
    """The weights of the concept, fp32, and where they come from.

    Raises `InvalidRequest` for a file that is no LoRA or is for another base, and for modules
    that can't be taken over unless they are to be skipped.
    """
    lora = read_lora(settings.file, layers)
    _check_supported(settings.file, lora.unsupported, skip=settings.skip_unsupported)
    if not lora.layers:
        raise InvalidRequest(
            f"{settings.file} changes no layer of this base model.",
            hint="A concept of embeddings alone needs no import: tune it, or give its LoRA.",
        )
    rows, source = word_rows(base, settings, lora.embeddings)
    factors = {name: within_rank(name, pair) for name, pair in lora.layers.items()}
    summary = ImportSummary(
        file=printable_name(settings.file),
        sha256=sha256_of(settings.file),
        words_from=source,
        trigger=settings.trigger if settings.trigger and source == "trigger" else "",
        skipped=len(lora.unsupported),
    )
    return ConceptWeights(settings.words, {"text_encoder": rows}, factors), summary


def printable_name(path: Path) -> str:
    """A file's name as the manifest may hold it."""
    return "".join(c if c.isprintable() else "?" for c in path.name)[:255]


def _check_supported(path: Path, unsupported: Sequence[str], *, skip: bool) -> None:
    if any(name.startswith(_SECOND_ENCODER) for name in unsupported):
        raise InvalidRequest(
            f"{path} was tuned on Stable Diffusion XL: it changes a second text encoder.",
            hint="Name the base that it was tuned on, or take a LoRA of this base.",
        )
    if unsupported and not skip:
        shown = ", ".join(name[:120] for name in unsupported[:_SHOWN])
        more = f" and {len(unsupported) - _SHOWN} more" if len(unsupported) > _SHOWN else ""
        raise InvalidRequest(
            f"{path} changes modules in a way that can't be fused: {shown}{more}.",
            hint="Plain LoRAs of linear layers and 1x1 convolutions can. Give --skip-unsupported "
            "to leave those modules as they are in the base; the concept will look different.",
        )


def within_rank(layer: str, factors: LoraFactors) -> LoraFactors:
    """The same update with no more rank than it has; raise `InvalidRequest` above `MAX_RANK`."""
    down, up = factors
    if len(down) <= min(MAX_RANK, len(up), down.shape[1]):
        return factors
    left, left_core = torch.linalg.qr(up.double())
    right, right_core = torch.linalg.qr(down.double().T)
    U, sizes, Vh = torch.linalg.svd(left_core @ right_core.T)
    rank = max(1, int((sizes > _ROUNDING * sizes[0]).sum()))
    if rank > MAX_RANK:
        raise InvalidRequest(
            f"The LoRA has rank {rank} at {layer}; at most {MAX_RANK} can be fused.",
            hint=f"Resize it to rank {MAX_RANK} or less first, as kohya's resize_lora.py does.",
        )
    return LoraFactors(
        (Vh[:rank] @ right.T).float().contiguous(),
        (left @ U[:, :rank] * sizes[:rank]).float().contiguous(),
    )
