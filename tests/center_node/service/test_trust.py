"""Figures that no honest tuning shows are refused, by file, layer, figure and bound."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from center_steps import stored, submit_folder
from concept_packages import MID_BLOCK, edit_tensors, reseal, small_layer_map, write_package
from mos_center.domain.models import BaseRecord
from mos_center.opening import OpenedData
from mos_center.service.center import Center
from mos_protocol.errors import InvalidPackage
from mos_protocol.manifest import CONCEPT_FILE
from mos_protocol.moment_reading import read_moment
from mos_protocol.moments import MOMENTS_FORMAT, block_of
from mos_protocol.tensors import read_header
from tiny_package import coded_moment

QUERY = "unet.mid_block.a.attn1.to_q"
INPUT = "unet.mid_block.a.attn1.in"
Arrays = dict[str, np.ndarray]


def statistics_of(package: Path) -> dict[str, dict[str, float]]:
    """A base whose own inputs are those of a package, and whose weights have norm 20."""
    found = {layer.name: {"norm": 20.0} for layer in small_layer_map().layers()}
    found["text_encoder.embeddings"] = {"mean": 1.0, "largest": 2.0}
    for path in sorted((package / "moments").iterdir()):
        entries = read_header(path, path.name, MOMENTS_FORMAT)
        for item in small_layer_map().block(block_of(f"moments/{path.name}")).inputs:
            moment = read_moment(path, entries, item.name)
            trace, size = float(np.trace(moment)), float(np.linalg.norm(moment))
            # So narrow that the whole space of a layer this small is far away.
            directions = 0.8 * (trace / size) ** 2
            found[item.name] = {"energy": trace / len(moment), "directions": directions}
    return found


@pytest.fixture
def measured(center: Center, tmp_path: Path) -> BaseRecord:
    """The base called small, with statistics."""
    statistics = statistics_of(write_package(tmp_path / "typical", seed=99))
    return center.bases.add("small", tmp_path, small_layer_map(), {}, statistics)


def scaled(factor: float) -> Callable[[Arrays], None]:
    def change(tensors: Arrays) -> None:
        tensors[f"{INPUT}.diagonal"] *= factor
        tensors[f"{INPUT}.scale"] *= np.float32(np.sqrt(factor))

    return change


def the_whole_space(tensors: Arrays) -> None:
    tensors |= coded_moment(INPUT, np.eye(6) * float(tensors[f"{INPUT}.diagonal"].mean()))


def indefinite(tensors: Arrays) -> None:
    tensors[f"{INPUT}.diagonal"] /= np.float32(2)


def diagonal_without_energy(tensors: Arrays) -> None:
    tensors[f"{INPUT}.diagonal"][:] = 0


def large_update(tensors: Arrays) -> None:
    tensors[f"{QUERY}.lora.up"] *= np.float32(40)


def large_everywhere(tensors: Arrays) -> None:
    for name in tensors:
        if name.endswith(".lora.up"):
            tensors[name] *= np.float32(1.8)


def long_word(tensors: Arrays) -> None:
    tensors["text_encoder.embeddings"][1] *= np.float32(30)


HOSTILE = {
    "scaled": (MID_BLOCK, scaled(1e4), f"{INPUT} has a mean square of"),
    "silenced": (MID_BLOCK, scaled(1e-4), "at most 50 times more or less"),
    "the whole space": (MID_BLOCK, the_whole_space, f"{INPUT} spreads over 6 directions"),
    "indefinite": (MID_BLOCK, indefinite, f"the moment of {INPUT} is not positive semi-definite"),
    "no diagonal": (MID_BLOCK, diagonal_without_energy, f"{INPUT}"),
    "large update": (CONCEPT_FILE, large_update, f"the update of {QUERY} has norm"),
    "large everywhere": (CONCEPT_FILE, large_everywhere, "the updates of all layers have norm"),
    "long word": (CONCEPT_FILE, long_word, "'text_encoder.embeddings' has a word of norm"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_no_tuning_shows_is_refused_by_name(
    name: str, measured: BaseRecord, center: Center, data: OpenedData, tmp_path: Path
) -> None:
    file, change, message = HOSTILE[name]
    package = write_package(tmp_path / "hostile")
    edit_tensors(package / file, change)
    reseal(package)

    with pytest.raises(InvalidPackage, match=message.replace("(", r"\(")) as refusal:
        submit_folder(center, package)

    assert refusal.value.file == file
    assert refusal.value.hint
    assert stored(data) == set()


def test_an_honest_package_passes_the_base_it_was_made_for(
    measured: BaseRecord, center: Center, tmp_path: Path
) -> None:
    for seed in range(5):
        package = write_package(tmp_path / str(seed), seed=seed, concept=f"ada/c{seed}")
        assert submit_folder(center, package).version == 1


@pytest.mark.parametrize(
    ("file", "change"),
    [(MID_BLOCK, scaled(1e7)), (MID_BLOCK, indefinite), (CONCEPT_FILE, long_word)],
    ids=["scaled", "indefinite", "long word"],
)
def test_a_base_without_statistics_refuses_what_is_absurd(
    file: str,
    change: Callable[[Arrays], None],
    base: BaseRecord,
    center: Center,
    tmp_path: Path,
) -> None:
    package = write_package(tmp_path / "hostile")
    edit_tensors(package / file, change)
    if change is long_word:
        edit_tensors(package / file, lambda t: t["text_encoder.embeddings"].__imul__(30))
    reseal(package)

    with pytest.raises(InvalidPackage):
        submit_folder(center, package)
