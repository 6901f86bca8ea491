"""Write a fused model: a diffusers folder that stock diffusers opens, with its delta beside it.

    model_index.json, vae/, scheduler/, …    byte copies of the base's
    unet/, text_encoder/                     the base's weights plus the delta, in the base's dtypes
    tokenizer/                               the base's, with the concepts' words
    concepts.safetensors, concepts.json      embeddings per word and layer
    delta.safetensors                        base + delta = these weights, bit for bit (see `delta`)
    report.json, quality.png, README.md      how well every layer and concept fits; the model card
                                             (`previews` adds pictures to it)
    exports/<format>/                        the same in the formats of other tools, when asked for

The same inputs give the same bytes: nothing in here knows the time or the machine.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from mos_diffusion.formats import export
from mos_diffusion.tensor_file import (
    Spec,
    StoredTensors,
    open_tensors,
    write_tensors,
)
from mos_protocol.words import check_words
from torch import Tensor
from transformers import CLIPTokenizer

from mos_center.fusion import delta, report
from mos_center.fusion.block import read_report
from mos_center.fusion.components import (
    components,
    copy_component,
    published_name,
    weight_files,
    weight_keys,
    weights_name,
    write_index,
    write_json,
)
from mos_center.fusion.embeddings import (
    WordRows,
    extended_table,
    extended_tokenizer,
    word_rows,
    write_concepts,
    write_tokenizer,
)
from mos_center.fusion.heat_map import draw_quality
from mos_center.fusion.model_card import model_card
from mos_center.fusion.parallel import one_thread
from mos_center.fusion.recipe import Recipe
from mos_center.fusion.report import BlockReport
from mos_center.fusion.report_warnings import warnings
from mos_center.fusion.sources import BaseSource

DELTA_FILE = "delta.safetensors"
REPORT_FILE = "report.json"
CARD_FILE = "README.md"
QUALITY_FILE = "quality.png"
EXPORTS_FOLDER = "exports"
_TABLE = "text_model.embeddings.token_embedding.weight"


def write_model(recipe: Recipe, blocks: Sequence[Path], out: Path) -> dict[str, object]:
    """Write the model folder `out` from the files of the fused blocks; return its report.

    Whatever an earlier attempt left at `out` is removed first. Raises `Conflict` for a word that
    two concepts, or a concept and the base, both have.
    """
    base, concepts = recipe.base, recipe.concepts
    check_words((item.manifest.concept, item.manifest.words) for item in concepts)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    with one_thread(), open_tensors(*blocks) as deltas:
        tokenizers = _write_tokenizers(recipe, out)
        written = {"unet", *tokenizers, *map(tokenizer_of, tokenizers)}
        for component in components(base.folder):
            if component not in written:
                copy_component(base.folder, component, out)
        _write_delta(base, deltas, out / DELTA_FILE)
        _write_weights(recipe, "unet", deltas, out)
        for encoder, tokenizer in tokenizers.items():
            _write_text_encoder(recipe, encoder, tokenizer, deltas, out)
    write_index(base.folder, out)
    write_concepts(recipe, tokenizers, out)
    found = _write_reports(recipe, [read_report(path) for path in blocks], out)
    for name in recipe.exports:
        export(out, name, out / EXPORTS_FOLDER / name)
    return found


def _write_reports(recipe: Recipe, blocks: Sequence[BlockReport], out: Path) -> dict[str, object]:
    """Write report.json, its picture and the model card; return the report."""
    refs = [concept.ref for concept in recipe.concepts]
    settings = recipe.settings
    layers = [layer for block in blocks for layer in block.layers]
    told = warnings(layers, refs, settings.ridge, settings.solver)
    found = report.report_json(blocks, settings.to_json(), _inputs(recipe), refs, told)
    write_json(out / REPORT_FILE, found)
    draw_quality(blocks, refs, out / QUALITY_FILE)
    write_card(recipe, blocks, out)
    return found


def write_card(
    recipe: Recipe, blocks: Sequence[BlockReport], out: Path, previews: Sequence[str] = ()
) -> None:
    """Write the model card, with the previews of the concepts in their order, if there are any."""
    card = model_card(recipe.base, recipe.concepts, recipe.settings, blocks, previews)
    (out / CARD_FILE).write_text(card, encoding="utf-8")


def tokenizer_of(encoder: str) -> str:
    """The component that holds a text encoder's tokenizer."""
    return encoder.replace("text_encoder", "tokenizer")


def _write_tokenizers(recipe: Recipe, out: Path) -> dict[str, CLIPTokenizer]:
    """Write every tokenizer with the concepts' words; return them by text encoder."""
    words = [word for concept in recipe.concepts for word in concept.manifest.words]
    layers = len(recipe.base.layer_map.cross_attention)
    found = {}
    for encoder in recipe.base.layer_map.text_encoders:
        name = tokenizer_of(encoder.name)
        tokenizer = extended_tokenizer(recipe.base.folder / name, words, layers)
        write_tokenizer(recipe.base.folder, name, tokenizer, out)
        found[encoder.name] = tokenizer
    return found


def _write_text_encoder(
    recipe: Recipe, encoder: str, tokenizer: CLIPTokenizer, deltas: StoredTensors, out: Path
) -> None:
    """Write a text encoder whose token table has the concepts' rows, and says so."""
    words = word_rows(recipe.concepts, encoder)
    size = _write_weights(recipe, encoder, deltas, out, (tokenizer, words))
    path = out / encoder / "config.json"
    configuration = json.loads(path.read_text(encoding="utf-8"))
    configuration["vocab_size"] = size
    # 2 is transformers' mark for "the largest id ends the prompt", which words behind it outnumber.
    configuration["eos_token_id"] = tokenizer.eos_token_id
    # Without a dtype of the caller's, diffusers loads its own parts in float32, and transformers
    # in what is written here: a pipeline of both must be of one kind.
    configuration["dtype"] = "float32"
    write_json(path, configuration)


def _write_weights(
    recipe: Recipe,
    component: str,
    deltas: StoredTensors,
    out: Path,
    extension: tuple[CLIPTokenizer, Sequence[WordRows]] | None = None,
) -> int:
    """Write a component with its deltas added, tensor by tensor; return the token table's size."""
    base = recipe.base
    copy_component(base.folder, component, out, weights=False)
    changed = weight_keys(base.layer_map, component)
    with open_tensors(*weight_files(base.folder, component)) as stored:
        names = {published_name(component, name): name for name in stored}
        specs = {name: stored.spec(own) for name, own in names.items()}
        table: Tensor | None = None
        if extension is not None:
            table = extended_table(stored[names[_TABLE]], *extension)
            specs[_TABLE] = Spec(table.dtype, tuple(table.shape))

        def tensor(name: str) -> Tensor:
            if name == _TABLE and table is not None:
                return table
            weight = stored[names[name]]
            layer = changed.get(name)
            if layer is None or f"{layer}.up" not in deltas:
                return weight
            return delta.add_delta(weight, deltas[f"{layer}.up"], deltas[f"{layer}.down"])

        target = out / component / weights_name(component)
        write_tensors(target, specs, tensor, {"format": "pt"})
    return 0 if table is None else len(table)


def _write_delta(base: BaseSource, deltas: StoredTensors, path: Path) -> None:
    specs = {name: deltas.spec(name) for name in deltas}
    metadata = {"format": delta.FORMAT, "base_digest": base.layer_map.digest}
    write_tensors(path, specs, deltas.__getitem__, metadata)


def _inputs(recipe: Recipe) -> dict[str, object]:
    return {
        "base": {"name": recipe.base.name, "digest": recipe.base.layer_map.digest},
        "concepts": [
            {
                "name": concept.ref,
                "weight": concept.weights.to_json(),
                "words": list(concept.manifest.words),
                "package": concept.manifest.digest(),
            }
            for concept in recipe.concepts
        ],
    }
