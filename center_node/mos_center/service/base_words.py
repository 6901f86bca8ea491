"""The words that a base's tokenizers have of their own, read without loading one."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

from mos_center.domain.models import BaseRecord

_FILES = ("tokenizer.json", "tokenizer_config.json", "added_tokens.json")


def words_of_base(base: BaseRecord) -> frozenset[str]:
    """Added tokens of the base; none where its folder isn't at hand, as on an edge of its own."""
    names = (encoder.name for encoder in base.layer_map.text_encoders)
    tokenizers = (name.replace("text_encoder", "tokenizer") for name in names)
    return frozenset().union(*(_added_tokens(base.path / name) for name in tokenizers))


# A base never changes, and a tokenizer's file may have megabytes.
@lru_cache(maxsize=16)
def _added_tokens(folder: Path) -> frozenset[str]:
    found: set[str] = set()
    for name in _FILES:
        try:
            content = json.loads((folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        found |= _tokens(name, content)
    return frozenset(found)


def _tokens(name: str, content: object) -> set[str]:
    if not isinstance(content, dict):
        return set()
    if name == "added_tokens.json":
        return set(content)
    listed = content.get("added_tokens") or list(content.get("added_tokens_decoder", {}).values())
    return {item["content"] for item in listed if isinstance(item, dict) and "content" in item}
