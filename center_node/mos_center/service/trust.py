"""Whether a package's figures can be believed: moments, updates and embeddings against the base's.

A fusion serves every concept on the inputs that its moments claim, so that a member who claims
too much could drown the others. Nothing here needs torch, and one matrix is held at a time.
Legend: d width, r rank.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
from mos_protocol.errors import InvalidPackage
from mos_protocol.layer_map import LayerInput, Linear
from mos_protocol.manifest import CONCEPT_FILE, Manifest
from mos_protocol.moment_reading import Matrix, read_moment
from mos_protocol.moments import MOMENTS_FORMAT, block_of
from mos_protocol.names import Digest
from mos_protocol.tensors import CONCEPT_FORMAT, TensorEntry, read_header, read_tensor

from mos_center.domain.models import BaseRecord
from mos_center.domain.trust import TrustBounds

Figures = Mapping[str, float]
LocalPath = Callable[[Digest], AbstractContextManager[Path]]

_RECORD_AGAIN = "Record the moments with this base and this version of mos-client again."
_TUNE_AGAIN = "Tune again with lower learning rates, or scale the update down."


def check_trust(
    manifest: Manifest,
    base: BaseRecord,
    local_path: LocalPath,
    bounds: TrustBounds = TrustBounds(),
) -> None:
    """Refuse figures that no honest tuning shows; the files must have passed `check_file`.

    Raises `InvalidPackage`, which names the file, the layer, the figure and its bound.
    """
    for entry in manifest.files:
        if entry.path.startswith("previews/"):
            continue
        with local_path(Digest(entry.sha256)) as path:
            if entry.path == CONCEPT_FILE:
                check_weights(path, entry.path, base, bounds)
            else:
                check_claims(path, entry.path, base, bounds)


def check_claims(path: Path, label: str, base: BaseRecord, bounds: TrustBounds) -> None:
    """Check the moments of one block's file, one input after the other."""
    entries = read_header(path, label, MOMENTS_FORMAT)
    for item in base.layer_map.block(block_of(label)).inputs:
        moment = read_moment(path, entries, item.name)
        known = base.statistics.get(item.name, {})
        _check_energy(moment, item, known, label, bounds)
        _check_directions(moment, item, known, label, bounds)
        _check_definite(moment, item, label, bounds)


def check_weights(path: Path, label: str, base: BaseRecord, bounds: TrustBounds) -> None:
    """Check the norms of a concept's updates and embeddings."""
    entries = read_header(path, label, CONCEPT_FORMAT)
    norms = {
        layer.name: _delta_norm(path, entries, layer)
        for layer in base.layer_map.layers()
        if f"{layer.name}.lora.up" in entries
    }
    _check_deltas(norms, base, label, bounds)
    for encoder in base.layer_map.text_encoders:
        name = f"{encoder.name}.embeddings"
        rows = read_tensor(path, entries[name])
        largest = float(np.linalg.norm(rows, axis=-1).max(initial=0))
        _check_embedding(largest, name, base.statistics.get(name, {}), label, bounds)


def _check_energy(
    moment: Matrix, item: LayerInput, known: Figures, label: str, bounds: TrustBounds
) -> None:
    energy = float(np.trace(moment)) / item.width
    own = known.get("energy", 0.0)
    if own > 0 and not own / bounds.energy <= energy <= own * bounds.energy:
        raise InvalidPackage(
            label,
            f"{item.name} has a mean square of {energy:.3g}, the base's own is {own:.3g}; "
            f"at most {bounds.energy:g} times more or less is believed",
            hint=_RECORD_AGAIN,
        )
    if energy > bounds.largest_energy:
        raise InvalidPackage(
            label,
            f"{item.name} has a mean square of {energy:.3g}; at most {bounds.largest_energy:g}",
            hint=_RECORD_AGAIN,
        )


def _check_directions(
    moment: Matrix, item: LayerInput, known: Figures, label: str, bounds: TrustBounds
) -> None:
    own, size = known.get("directions", 0.0), float(np.linalg.norm(moment))
    found = (float(np.trace(moment)) / size) ** 2 if size else 0.0
    if own > 0 and found > own * bounds.directions:
        raise InvalidPackage(
            label,
            f"{item.name} spreads over {found:.3g} directions, the base's own inputs over "
            f"{own:.3g}; at most {bounds.directions:g} times as many are believed",
            hint=_RECORD_AGAIN,
        )


def _check_definite(moment: Matrix, item: LayerInput, label: str, bounds: TrustBounds) -> None:
    """No mean of x xᵀ has a negative eigenvalue, but the arrays of a file can say anything."""
    mean = float(np.trace(moment)) / item.width
    lifted = moment + np.eye(item.width) * (bounds.negative * mean)
    try:
        if mean > 0:
            np.linalg.cholesky(lifted)
            return
    except np.linalg.LinAlgError:
        pass
    if moment.any():
        raise InvalidPackage(
            label,
            f"the moment of {item.name} is not positive semi-definite: no inputs have it",
            hint=_RECORD_AGAIN,
        )


def _check_deltas(
    norms: Mapping[str, float], base: BaseRecord, label: str, bounds: TrustBounds
) -> None:
    own = {layer: base.statistics.get(layer, {}).get("norm", 0.0) for layer in norms}
    for layer, norm in norms.items():
        limit = own[layer] * bounds.delta if own[layer] > 0 else bounds.largest_delta
        if norm > limit:
            raise InvalidPackage(
                label,
                f"the update of {layer} has norm {norm:.3g}; at most {limit:.3g} is believed"
                + (f", {bounds.delta:g} times that of the base's weight" if own[layer] > 0 else ""),
                hint=_TUNE_AGAIN,
            )
    whole, limit = math.hypot(*norms.values()), math.hypot(*own.values()) * bounds.whole_delta
    if all(own.values()) and whole > limit:
        raise InvalidPackage(
            label,
            f"the updates of all layers have norm {whole:.3g}; at most {limit:.3g} is believed, "
            f"{bounds.whole_delta:g} times that of the base's weights there",
            hint=_TUNE_AGAIN,
        )


def _check_embedding(
    norm: float, name: str, known: Figures, label: str, bounds: TrustBounds
) -> None:
    own = known.get("largest", 0.0)
    limit = own * bounds.embedding if own > 0 else bounds.largest_embedding
    if norm > limit:
        raise InvalidPackage(
            label,
            f"tensor {name!r} has a word of norm {norm:.3g}; at most {limit:.3g} is believed"
            + (f", {bounds.embedding:g} times the vocabulary's largest" if own > 0 else ""),
            hint="Tune again with a lower embedding rate or an embedding-norm stop.",
        )


def _delta_norm(path: Path, entries: Mapping[str, TensorEntry], layer: Linear) -> float:
    """‖up down‖ of (d_out, r) and (r, d_in), without their product."""
    up = read_tensor(path, entries[f"{layer.name}.lora.up"])
    down = read_tensor(path, entries[f"{layer.name}.lora.down"])
    squared = float(((up.T @ up) * (down @ down.T)).sum())
    return math.sqrt(max(squared, 0.0))
