"""The base's diffusers folder, file by file: what is copied as it is, and where weights lie.

Only what `from_pretrained` reads is taken along: no pickles, no variants, no second formats.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from mos_protocol.errors import InvalidRequest
from mos_protocol.layer_map import LayerMap

MODEL_INDEX = "model_index.json"

_WEIGHTS = re.compile(
    r"^(model|diffusion_pytorch_model)(-\d{5}-of-\d{5})?\.safetensors(\.index\.json)?$"
)
_CONFIGURATION = re.compile(r"^[\w-]+\.(json|txt)$")


def components(base: Path) -> list[str]:
    """The component folders that the pipeline loads, by name."""
    return sorted(name for name, kind in _index(base).items() if _is_used(base, name, kind))


def weights_name(component: str) -> str:
    """The file name that a component's library gives its weights: diffusers' or transformers'."""
    return "diffusion_pytorch_model.safetensors" if component == "unet" else "model.safetensors"


def weight_files(base: Path, component: str) -> list[Path]:
    """The safetensors files of a component: one, or the shards that its index names."""
    single = base / component / weights_name(component)
    if single.is_file():
        return [single]
    index = single.with_name(f"{single.name}.index.json")
    if index.is_file():
        shards = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        return [base / component / Path(shard).name for shard in shards]
    raise InvalidRequest(
        f"The base has no {component}/{single.name}.",
        hint="Save it with safetensors, without a variant: pickles are never read.",
    )


def copy_component(base: Path, component: str, out: Path, *, weights: bool = True) -> None:
    """Copy a component's files byte by byte, its weights too unless they are written anew."""
    (out / component).mkdir(parents=True)
    for path in sorted((base / component).iterdir()):
        kept = _CONFIGURATION.match(path.name) or (weights and _WEIGHTS.match(path.name))
        if path.is_file() and kept:
            shutil.copyfile(path, out / component / path.name)


def write_index(base: Path, out: Path) -> None:
    """Copy `model_index.json`; a component whose folder is not there becomes none."""
    index = _index(base)
    missing = [name for name, kind in index.items() if _is_listed(kind) and name not in _here(base)]
    if not missing:
        shutil.copyfile(base / MODEL_INDEX, out / MODEL_INDEX)
        return
    index.update({name: [None, None] for name in missing})
    write_json(out / MODEL_INDEX, index)


def weight_keys(layer_map: LayerMap, component: str) -> dict[str, str]:
    """Published tensor name → layer name, for the component's layers."""
    keys = {}
    for layer in layer_map.layers():
        owner, _, path = layer.name.partition(".")
        if owner == component:
            keys[published_name(component, f"{path}.weight")] = layer.name
    return keys


def published_name(component: str, name: str) -> str:
    """A tensor's name as every version of the stack reads it.

    transformers before version 5, ComfyUI and others need the `text_model.` level of a CLIP text
    encoder; newer ones accept it.
    """
    bare = not component.startswith("text_encoder") or name.startswith(
        ("text_model.", "text_projection.")
    )
    return name if bare else f"text_model.{name}"


def write_json(path: Path, value: Mapping[str, object]) -> None:
    """Write indented JSON, with a line end, always the same bytes."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _index(base: Path) -> dict[str, object]:
    try:
        index: dict[str, object] = json.loads((base / MODEL_INDEX).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidRequest(
            f"{base} is no base model: {error}", hint="Give a folder in diffusers layout."
        ) from error
    return index


def _is_listed(kind: object) -> bool:
    return isinstance(kind, list) and len(kind) == 2 and kind[0] is not None


def _is_used(base: Path, name: str, kind: object) -> bool:
    return _is_listed(kind) and name in _here(base)


def _here(base: Path) -> set[str]:
    return {path.name for path in base.iterdir() if path.is_dir()}
