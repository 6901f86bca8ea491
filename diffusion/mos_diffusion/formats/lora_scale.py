"""The factor between up·down and the update, where the file itself has no alphas.

PEFT writes it to `adapter_config.json` beside the weights, diffusers to the file's metadata:
alpha / rank, or alpha / √rank for rank-stabilised LoRA, with exceptions by module name.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mos_protocol.errors import InvalidRequest

CONFIG_FILE = "adapter_config.json"
METADATA_KEY = "lora_adapter_metadata"
ANY = ""
_MAX_CONFIG_BYTES = 4 << 20
# PEFT takes these for regular expressions; a stranger's are compared, never run.
_PLAIN_PATTERN = re.compile(r"\^?[\w.]+\$?")
_HINT = "Give the file with the configuration that its trainer wrote."


@dataclass(frozen=True)
class LoraScale:
    """alpha per module path, and whether the rank counts by its root."""

    alpha: float
    alphas: Mapping[str, float] = field(default_factory=dict)
    by_root: bool = False

    def factor(self, path: str, rank: int) -> float:
        """What up·down of the module `path` is multiplied with."""
        alpha = next(
            (value for name, value in self.alphas.items() if f".{path}".endswith(f".{name}")),
            self.alpha,
        )
        return alpha / (math.sqrt(rank) if self.by_root else rank)


def scale_beside(path: Path) -> LoraScale | None:
    """The scale in `adapter_config.json` in the folder of `path`; None when there is none."""
    config = path.parent / CONFIG_FILE
    if not config.is_file():
        return None
    if config.stat().st_size > _MAX_CONFIG_BYTES:
        raise InvalidRequest(f"{config} is too big for an adapter's configuration.", hint=_HINT)
    return _scale(_parsed(config.read_bytes(), str(config)), str(config))


def scales_in(metadata: Mapping[str, str], label: str) -> dict[str, LoraScale]:
    """The scales that diffusers writes into a file's metadata, by component.

    A model that saves its own adapter names no component: that is the scale of `ANY`.
    """
    if METADATA_KEY not in metadata:
        return {}
    entries = _parsed(metadata[METADATA_KEY].encode(), f"the metadata of {label}")
    if "lora_alpha" in entries:
        return {ANY: _scale(entries, f"the metadata of {label}")}
    found: dict[str, dict[str, object]] = {}
    for name, value in entries.items():
        component, _, key = name.partition(".")
        found.setdefault(component, {})[key] = value
    return {
        component: _scale(config, f"the metadata of {label}")
        for component, config in found.items()
        if "lora_alpha" in config
    }


def _scale(config: Mapping[str, object], where: str) -> LoraScale:
    alphas = config.get("alpha_pattern") or {}
    if not isinstance(alphas, dict) or not all(map(_PLAIN_PATTERN.fullmatch, alphas)):
        raise InvalidRequest(f"{where} has an alpha_pattern that names no modules.", hint=_HINT)
    return LoraScale(
        _number(config.get("lora_alpha"), where),
        {
            name.strip("^$").removeprefix("text_model."): _number(value, where)
            for name, value in alphas.items()
        },
        config.get("use_rslora") is True,
    )


def _number(value: object, where: str) -> float:
    plain = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not plain or not math.isfinite(value):  # type: ignore[arg-type]
        raise InvalidRequest(f"{where} has no finite lora_alpha: {value!r:.80}.", hint=_HINT)
    return float(value)  # type: ignore[arg-type]


def _parsed(content: bytes, where: str) -> dict[str, object]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise InvalidRequest(f"{where} is no valid JSON object.", hint=_HINT)
    return value
