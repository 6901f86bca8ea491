"""The concepts' words beside an export: one textual-inversion file per word, and all their layers.

Other tools know one embedding per word: the plain token's, which stands for the mean over the
layers.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from mos_protocol.errors import InvalidRequest, JobFailed
from torch import Tensor

from mos_diffusion.formats.embedding_file import ONE_ENCODER, TWO_ENCODERS, read_embedding
from mos_diffusion.formats.model_spec import HASH_KEY, Adapter, model_spec
from mos_diffusion.formats.published import CONCEPTS_FILE, CONCEPTS_INDEX, TABLE, PublishedModel
from mos_diffusion.tensor_file import Spec, open_tensors, write_tensors

FOLDER = "embeddings"


def write_words(model: PublishedModel, out: Path) -> None:
    """Write `embeddings/<word>.safetensors` and copies of `concepts.*` into `out`.

    Raises `JobFailed` when a file doesn't give back the row of the model's table.
    """
    (out / FOLDER).mkdir()
    rows = _rows(model)
    for word in model.words:
        # Without brackets, which Windows doesn't allow in names.
        path = out / FOLDER / f"{word.strip('<>')}.safetensors"
        _write_word(model, word, rows[word], path)
        found = read_embedding(path)
        for encoder, row in rows[word].items():
            if not torch.equal(found[encoder], row):
                raise JobFailed(f"{path.name} doesn't hold the embedding of {word}.")
    for name in (CONCEPTS_FILE, CONCEPTS_INDEX):
        shutil.copyfile(model.folder / name, out / name)


def _rows(model: PublishedModel) -> dict[str, dict[str, Tensor]]:
    """Word → text encoder → the plain token's embedding (1, d) fp32."""
    found: dict[str, dict[str, Tensor]] = {word: {} for word in model.words}
    for encoder in model.text_encoders:
        with open_tensors(*model.weights(encoder)) as stored:
            table = stored[TABLE]
        for word in model.words:
            row = model.plain_token(encoder, word)
            if row >= len(table):
                raise InvalidRequest(f"The table of {encoder} has no row for {word}.")
            found[word][encoder] = table[row : row + 1].float()
    return found


def _write_word(model: PublishedModel, word: str, rows: dict[str, Tensor], path: Path) -> None:
    keys = TWO_ENCODERS if len(rows) > 1 else {"text_encoder": ONE_ENCODER}
    tensors = {keys[encoder]: row for encoder, row in rows.items()}
    metadata = model_spec(model, Adapter.TEXTUAL_INVERSION) | {
        "modelspec.title": f"{word} on {model.index.base.name}",
        "modelspec.trigger_phrase": word,
        "modelspec.usage_hint": f"Load it as {word}",
    }
    specs = {key: Spec(row.dtype, tuple(row.shape)) for key, row in tensors.items()}
    write_tensors(path, specs, tensors.__getitem__, metadata, HASH_KEY)
