"""LoRA files of other tools, read into our layer names: kohya, diffusers (old and new) and PEFT.

Every key of a file ends in exactly one of three places: the factors of a layer, an embedding, or
the list of what is not supported.
Legend: r rank, d width, n vectors per word.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mos_protocol.errors import InvalidRequest
from mos_protocol.layer_map import LayerMap
from torch import Tensor

from mos_diffusion.adapters import LoraFactors
from mos_diffusion.formats import module_names
from mos_diffusion.formats.lora_keys import MAX_KEY, Key, Piece, bundled_embedding, parse_key
from mos_diffusion.formats.lora_scale import ANY, LoraScale, scale_beside, scales_in
from mos_diffusion.formats.stored_file import StoredFile, open_stored

_PEFT = "base_model.model."


@dataclass(frozen=True)
class ForeignLora:
    """What a file holds: the update of a layer is up @ down, with nothing left to multiply.

    layers: our layer name → down (r, d_in), up (d_out, r) fp32, each layer with its own rank.
    embeddings: `<encoder>.<word>` → (n, d) fp32, when the file bundles some.
    unsupported: modules that are changed by something else than a plain LoRA of a linear layer or
    1x1 convolution, or that the base doesn't have, as the file names them.
    """

    layers: dict[str, LoraFactors]
    embeddings: dict[str, Tensor]
    metadata: dict[str, str]
    unsupported: tuple[str, ...]


def read_lora(path: Path, layer_map: LayerMap | None = None) -> ForeignLora:
    """Read a safetensors LoRA; with a `layer_map`, its layers are the ones that can be changed.

    Raises `InvalidRequest` for pickles, damaged files, files without a LoRA, halves without their
    counterpart, values that are not finite, and layers that don't fit the map's shapes.
    """
    with open_stored(path) as stored:
        groups, embeddings = _grouped(stored)
        names = _Names(path, layer_map)
        scales = _Scales(path, stored)
        layers: dict[str, LoraFactors] = {}
        unsupported = []
        for module, pieces in groups.items():
            layer = names.layer(module)
            if layer is None or not _is_plain(stored, pieces):
                unsupported.append(module.module)
                continue
            if layer in layers:
                raise InvalidRequest(f"{path}: {layer} is changed twice.", hint="It is damaged.")
            layers[layer] = _factors(stored, module, layer, pieces, scales)
        found = {name: _rows(stored, key) for name, key in embeddings.items()}
    if not layers and not found:
        raise InvalidRequest(
            f"{path} holds no LoRA of a Stable Diffusion model"
            + (f"; unknown: {unsupported[0][:200]!r}." if unsupported else "."),
            hint="Files of kohya's scripts, diffusers and PEFT can be read; a whole model can't.",
        )
    if layer_map is not None:
        _check_shapes(path, layers, layer_map)
    return ForeignLora(layers, found, stored.metadata, tuple(sorted(unsupported)))


@dataclass(frozen=True)
class _Module:
    """A module as the file names it."""

    module: str
    kohya: bool


class _Names:
    """Our names of the modules in a file."""

    def __init__(self, path: Path, layer_map: LayerMap | None) -> None:
        layers = module_names.known_layers()
        if layer_map is not None:
            layers = frozenset(layer.name for layer in layer_map.layers())
        self._known = layers
        self._kohya = module_names.kohya_table(layers)
        # PEFT names no model; its trainers save each one to a folder of its name.
        second = path.parent.name == "text_encoder_2"
        self._encoder = "text_encoder_2" if second else "text_encoder"

    def layer(self, module: _Module) -> str | None:
        if module.kohya:
            return self._kohya.get(module.module)
        layer = module_names.dotted_layer(module.module, self._encoder)
        return layer if layer in self._known else None


class _Scales:
    """Where a module's scale comes from when the file has no alpha for it."""

    def __init__(self, path: Path, stored: StoredFile) -> None:
        self._label = str(path)
        self._by_component = scales_in(stored.metadata, stored.label)
        peft = any(key.startswith(_PEFT) for key in stored.keys)
        self._beside = scale_beside(path) if peft else None

    def factor(self, module: _Module, layer: str, rank: int) -> float:
        component, _, path = layer.partition(".")
        own: LoraScale | None = self._by_component.get(ANY, self._beside)
        scale = self._by_component.get(component, own)
        if scale is not None:
            return scale.factor(path, rank)
        if module.module.startswith(_PEFT):
            raise InvalidRequest(
                f"{self._label} doesn't say how strong it is: PEFT keeps lora_alpha apart.",
                hint="Put its adapter_config.json beside it.",
            )
        return 1.0


def _grouped(
    stored: StoredFile,
) -> tuple[dict[_Module, dict[Piece, list[str]]], dict[str, str]]:
    """The keys by module and piece, and those of bundled embeddings by name."""
    groups: dict[_Module, dict[Piece, list[str]]] = defaultdict(lambda: defaultdict(list))
    embeddings = {}
    for key in stored.keys:
        if len(key) > MAX_KEY:
            raise InvalidRequest(f"{stored.label} has a key of {len(key)} characters.")
        if name := bundled_embedding(key):
            embeddings[name] = key
            continue
        parsed: Key = parse_key(key)
        groups[_Module(parsed.module, parsed.kohya)][parsed.piece].append(key)
    return groups, embeddings


def _is_plain(stored: StoredFile, pieces: Mapping[Piece, list[str]]) -> bool:
    """Whether these keys are a low-rank update of a linear layer or a 1x1 convolution."""
    if Piece.OTHER in pieces or not (Piece.DOWN in pieces or Piece.UP in pieces):
        return False
    shapes = [stored.shape(key) for half in (Piece.DOWN, Piece.UP) for key in pieces.get(half, ())]
    return all(len(shape) in (2, 4) and set(shape[2:]) <= {1} for shape in shapes)


def _factors(
    stored: StoredFile,
    module: _Module,
    layer: str,
    pieces: Mapping[Piece, list[str]],
    scales: _Scales,
) -> LoraFactors:
    """down (r, d_in) and up (d_out, r), the scale folded into up."""
    for half in (Piece.DOWN, Piece.UP):
        if len(pieces.get(half, ())) != 1:
            raise InvalidRequest(
                f"{stored.label}: {module.module} has {len(pieces.get(half, ()))} '{half}' "
                "factors; expected one.",
                hint="It is damaged, or holds several LoRAs: export one of them.",
            )
    down, up = (stored.read(pieces[half][0]).flatten(1) for half in (Piece.DOWN, Piece.UP))
    rank = len(down)
    if rank == 0 or up.shape[1] != rank:
        raise InvalidRequest(
            f"{stored.label}: the factors of {module.module} don't fit: "
            f"{tuple(up.shape)} and {tuple(down.shape)}.",
            hint="It is damaged.",
        )
    if alphas := pieces.get(Piece.ALPHA):
        scale = _scalar(stored, alphas[0]) / rank
    else:
        scale = scales.factor(module, layer, rank)
    return LoraFactors(down.contiguous(), (up * scale).contiguous())


def _scalar(stored: StoredFile, key: str) -> float:
    value = stored.read(key)
    if value.numel() != 1:
        raise InvalidRequest(f"{stored.label}: {key[:200]!r} is no number.", hint="It is damaged.")
    return float(value)


def _rows(stored: StoredFile, key: str) -> Tensor:
    """An embedding as (n, d)."""
    rows = stored.read(key)
    if rows.ndim not in (1, 2) or rows.numel() == 0:
        raise InvalidRequest(f"{stored.label}: {key[:200]!r} is no embedding.")
    return rows.reshape(-1, rows.shape[-1])


def _check_shapes(path: Path, layers: Mapping[str, LoraFactors], layer_map: LayerMap) -> None:
    for layer in layer_map.layers():
        if layer.name not in layers:
            continue
        down, up = layers[layer.name]
        if (len(up), down.shape[1]) != (layer.d_out, layer.d_in):
            raise InvalidRequest(
                f"{path} is for another base model: its {layer.name} is "
                f"{len(up)}x{down.shape[1]}, this base's {layer.d_out}x{layer.d_in}.",
                hint="Name the base that it was trained on.",
            )
