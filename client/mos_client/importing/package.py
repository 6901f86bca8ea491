"""From a stranger's LoRA to a concept package, as tuning writes one.

The folder is made beside its place, checked as a center checks it, and only then renamed: there
is a whole package or none.
"""

from __future__ import annotations

import importlib.metadata
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mos_diffusion.base_model import BaseModel, layer_map, load_base
from mos_diffusion.concept_file import ConceptWeights, save_concept
from mos_diffusion.moments import write_moments
from mos_protocol.layer_map import LayerMap
from mos_protocol.manifest import (
    CONCEPT_FILE,
    MANIFEST_FILE,
    BaseIdentity,
    ImportSummary,
    Manifest,
    MomentsSummary,
    listed_files,
)
from mos_protocol.package import check_package

from mos_client.concept_builder import write_previews
from mos_client.importing.lora import read_concept
from mos_client.importing.recording import record
from mos_client.importing.settings import ImportSettings
from mos_client.tuning.destination import check_destination, fresh_folder, move_into_place
from mos_client.tuning.precision import choose_device
from mos_client.tuning.preparing import check_resolution

Tell = Callable[[str], None]


def import_concept(
    settings: ImportSettings,
    out: Path,
    *,
    base: BaseModel | None = None,
    tell: Tell = lambda message: None,
) -> Manifest:
    """Read the LoRA, record its moments, and put the checked package at `out`.

    A base that is given is left as it was. Raises `Conflict` when `out` holds anything that may
    not be replaced, and `InvalidRequest` for a file that can't become a concept of the base.
    """
    check_destination(out, settings.name, overwrite=settings.overwrite)
    base = base or load_base(settings.base, device=choose_device(settings.device))
    resolution = check_resolution(settings.resolution, base)
    layers = layer_map(base)
    weights, source = read_concept(base, layers, settings)
    if source.skipped:
        tell(f"modules left out, for they hold no plain LoRA: {source.skipped}")
    tell(f"recording moments of {len(weights.lora)} layers")
    folder = fresh_folder(out)
    with _telling_warnings(tell):
        # Reads the pictures, if any: what is wrong with them shows before anything is drawn.
        moments, passes = record(base, weights, settings, resolution, layers)
        write_moments(moments, folder)
        tell("previews")
        name = " ".join(settings.words)
        write_previews(base, weights, name, folder, resolution, settings.preview_steps)
    save_concept(weights, folder / CONCEPT_FILE)
    manifest = _describe(weights, source, passes, settings, layers, folder)
    (folder / MANIFEST_FILE).write_bytes(manifest.to_bytes())
    check_package(folder, layers)
    move_into_place(folder, out, manifest, overwrite=settings.overwrite)
    return manifest


@contextmanager
def _telling_warnings(tell: Tell) -> Iterator[None]:
    """Tell what the engine warns of, each thing once, in place of Python's own lines."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for message in dict.fromkeys(str(w.message) for w in caught if w.category is UserWarning):
        tell(message)


def _describe(
    weights: ConceptWeights,
    source: ImportSummary,
    passes: int,
    settings: ImportSettings,
    layers: LayerMap,
    folder: Path,
) -> Manifest:
    """The manifest for the files that are in `folder`."""
    return Manifest(
        concept=settings.name,
        base=BaseIdentity(name=settings.base_label, digest=layers.digest),
        method="imported",
        words=settings.words,
        class_word=settings.kind,
        rank=weights.rank,
        source=source,
        moments=MomentsSummary(recording=settings.recording, passes=passes),
        licence=settings.licence,
        consent=settings.consent,
        description=settings.description,
        tool=f"mos-client {importlib.metadata.version('mos-federation')}",
        files=listed_files(folder),
    )
