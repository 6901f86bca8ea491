"""What a file says of itself in its header: ModelSpec 1.0, and what kohya's readers look for.

https://github.com/Stability-AI/ModelSpec. No date: the same model gives the same bytes.
"""

from __future__ import annotations

from enum import StrEnum

from mos_diffusion.formats.published import PublishedModel

HASH_KEY = "modelspec.hash_sha256"
_ORIGINAL = "https://github.com/Stability-AI/generative-models"
_V1_WIDTH = 768


class Adapter(StrEnum):
    """What a file that is no whole model adds to one; ends its architecture."""

    LORA = "/lora"
    TEXTUAL_INVERSION = "/textual-inversion"


def model_spec(model: PublishedModel, adapter: Adapter | None = None) -> dict[str, str]:
    """The header's entries, without the hash."""
    implementation = "diffusers" if adapter is Adapter.LORA else _ORIGINAL
    base = model.index.base
    triggers = [concept.trigger for concept in model.concepts]
    licences = sorted({concept.licence for concept in model.concepts if concept.licence})
    names = [concept.name for concept in model.concepts]
    count = f"{len(names)} concept{'s' if len(names) > 1 else ''}"
    spec = {
        "sai_model_spec": "1.0.0",
        "architecture": architecture(model) + (adapter or ""),
        "implementation": implementation,
        "title": f"{count} on {base.name}",
        "description": f"Concepts: {', '.join(names)}. Base: {base.name}.",
        **_resolution(model),
        "prediction_type": "v" if _predicts_v(model) else "epsilon",
        "merged_from": ", ".join([base.name, *names]),
        "trigger_phrase": ", ".join(triggers),
        "usage_hint": f"Write a concept's words: {triggers[0]}",
    }
    if licences:
        spec["license"] = ", ".join(licences)
    return {
        **{f"modelspec.{key}": value for key, value in spec.items()},
        "mos.base_digest": base.digest,
        "format": "pt",
    }


def kohya_metadata(model: PublishedModel, rank: int) -> dict[str, str]:
    """What kohya's scripts and the user interfaces that follow them ask a LoRA file for."""
    return {
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(rank),
        "ss_network_alpha": str(rank),
        "ss_base_model_version": _kohya_version(model),
        "ss_v2": str(_is_v2(model)),
        "ss_sd_model_name": model.index.base.name,
    }


def architecture(model: PublishedModel) -> str:
    """ModelSpec's name of the model's architecture."""
    if len(model.text_encoders) > 1:
        return "stable-diffusion-xl-v1-base"
    if not _is_v2(model):
        return "stable-diffusion-v1"
    return f"stable-diffusion-v2-{'768-v' if _predicts_v(model) else '512'}"


def _kohya_version(model: PublishedModel) -> str:
    if len(model.text_encoders) > 1:
        return "sdxl_base_v1-0"
    if not _is_v2(model):
        return "sd_v1"
    return "sd_v2_v" if _predicts_v(model) else "sd_v2"


def _is_v2(model: PublishedModel) -> bool:
    """2.x has OpenCLIP's text encoder; some copies of 1.x name its activation too, wrongly."""
    return (
        len(model.text_encoders) == 1
        and model.config("text_encoder").get("hidden_act") == "gelu"
        and model.config("unet").get("cross_attention_dim") != _V1_WIDTH
    )


def _predicts_v(model: PublishedModel) -> bool:
    return model.config("scheduler").get("prediction_type") == "v_prediction"


def _resolution(model: PublishedModel) -> dict[str, str]:
    """The picture size that the model was made for, when its configuration says so."""
    side, levels = (
        model.config("unet").get("sample_size"),
        model.config("vae").get("block_out_channels"),
    )
    if not isinstance(side, int) or not isinstance(levels, list) or not levels:
        return {}
    pixels = side << (len(levels) - 1)
    return {"resolution": f"{pixels}x{pixels}"}
