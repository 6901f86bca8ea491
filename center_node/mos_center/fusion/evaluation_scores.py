"""What the pictures of an evaluation say of a concept, by a CLIP.

text      2.5·max(cos, 0) of a picture and its prompt, mean
identity  max(cos, 0) of a picture of the concept's own model and one of the model in question, of
          the same prompt and of another seed, mean over all such pairs
kept      (fused − class word) / (own − class word) of identity: 1 is as near to the own model's
          pictures as those are to each other, 0 as far as pictures by the class word

No tuning picture is needed, so none is asked for. What a concept's own model gets wrong of its
pictures is not seen here. Legend: P prompts, S seeds, d width of the embeddings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from mos_diffusion.evaluation.alignment import Clip, open_picture, text_alignment
from mos_diffusion.evaluation.pictures import SamplingSettings
from mos_diffusion.provenance import save_picture, shared_provenance
from PIL import Image

from mos_center.fusion.evaluation_parts import Case, Table

MODELS = ("class_word", "own", "fused")
"""What a concept's prompts are sampled in: the base by class word, its own model, the version."""
GRID_COLUMNS = 8
TILE = 160
# With less between them, or so few standard errors, whether the own model differs from the class
# word is chance, and a share of that would be too.
_LEAST_GAP = 0.01
_SURE = 2.0
_DIGITS = 4


def score(clip: Clip, case: Case, tables: Mapping[str, Table]) -> dict[str, Any]:
    """The concept's figures as plain data; `tables` has its pictures by the name of the model."""
    texts = clip.texts(case.prompts.described(case.concept.manifest.class_word))
    embedded = {name: _embed(clip, tables[name]) for name in MODELS}
    text = {name: _text(embedded[name], texts) for name in MODELS}
    identity = {name: own_identity(embedded["own"], embedded[name]) for name in MODELS}
    manifest = case.concept.manifest
    return {
        "concept": case.concept.ref,
        "trigger": manifest.trigger,
        "class_word": manifest.class_word,
        "prompts": case.prompts.kind,
        "text": {name: _estimate(values) for name, values in text.items()},
        "identity": {name: _estimate(values) for name, values in identity.items()},
        "kept": share_kept(identity),
        "groups": {
            group: {
                "text": {name: _mean(values[rows]) for name, values in text.items()},
                "identity": {name: _mean(values[rows]) for name, values in identity.items()},
            }
            for group, rows in case.prompts.groups.items()
        },
    }


def own_identity(own: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Of each prompt (P,), the mean of max(cos, 0) over pairs of different seeds; both (P, S, d).

    The same seed draws the same layout in both models, which would pass for identity.
    """
    cosines = torch.einsum("psd,ptd->pst", own, other).clamp(min=0)
    seeds = own.shape[1]
    different = ~torch.eye(seeds, dtype=torch.bool)
    return cosines[:, different].mean(1)


def share_kept(identity: Mapping[str, torch.Tensor]) -> float | None:
    """The share of identity kept; None where the own model is not surely unlike the class word."""
    gap = identity["own"] - identity["class_word"]
    if gap.mean() <= max(_LEAST_GAP, _SURE * _error(gap)):
        return None
    gain = identity["fused"] - identity["class_word"]
    return round(float(gain.mean() / gap.mean()), _DIGITS)


def summary(concepts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over the concepts; `kept` over those of which it is known."""
    kept = [item["kept"] for item in concepts if item["kept"] is not None]
    return {
        **{
            measure: {
                name: _rounded(fmean(item[measure][name]["mean"] for item in concepts))
                for name in MODELS
            }
            for measure in ("text", "identity")
        },
        "kept": _rounded(fmean(kept)) if kept else None,
    }


def settings_told(settings: SamplingSettings, clip: Clip, side: int) -> dict[str, Any]:
    """How it was sampled and measured; of a CLIP in a folder only the folder's name is told."""
    return {
        "clip": {"name": _public_name(clip.name), "digest": clip.digest},
        "seeds": len(settings.seeds),
        "steps": settings.steps,
        "guidance": settings.guidance,
        "negative_prompt": settings.negative_prompt,
        "side": side,
    }


def draw_grid(tables: Mapping[str, Table], path: Path) -> Path:
    """Write up to eight prompts side by side, below each other class word, own model, version."""
    rows = [_spread([row[0] for row in tables[name]]) for name in MODELS]
    first = open_picture(rows[0][0])
    tile = min(TILE, first.width)
    sheet = Image.new("RGB", (tile * len(rows[0]), tile * len(rows)), "white")
    for top, pictures in enumerate(rows):
        for left, picture in enumerate(pictures):
            opened = open_picture(picture)
            if opened.size != (tile, tile):
                opened = opened.resize((tile, tile), Image.Resampling.LANCZOS)
            sheet.paste(opened, (left * tile, top * tile))
    save_picture(sheet, path, shared_provenance(picture for row in rows for picture in row))
    return path


def _embed(clip: Clip, table: Table) -> torch.Tensor:
    """Unit embeddings (P, S, d)."""
    flat = clip.pictures([path for row in table for path in row])
    return flat.reshape(len(table), len(table[0]), -1)


def _text(pictures: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
    """Text-alignment of each prompt (P,), the mean over its seeds."""
    return text_alignment(pictures, texts[:, None].expand_as(pictures)).mean(1)


def _estimate(values: torch.Tensor) -> dict[str, float]:
    """Mean over prompts, and its standard error: what other prompts would change."""
    return {"mean": _mean(values), "error": _rounded(_error(values))}


def _error(values: torch.Tensor) -> float:
    count = len(values)
    return float(values.double().std(correction=1)) / sqrt(count) if count > 1 else 0.0


def _mean(values: torch.Tensor) -> float:
    return _rounded(float(values.double().mean()))


def _rounded(value: float) -> float:
    return round(value, _DIGITS)


def _spread(pictures: Sequence[Path]) -> list[Path]:
    """At most `GRID_COLUMNS` of them, evenly over all."""
    count = min(GRID_COLUMNS, len(pictures))
    return [pictures[number * len(pictures) // count] for number in range(count)]


def _public_name(name: str) -> str:
    return Path(name).name if Path(name).is_dir() else name
