"""Concepts of other trainers: layers beyond attention, and a rank of its own in every layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mos_protocol.errors import InvalidPackage
from mos_protocol.layer_map import Block, LayerInput, LayerMap, Linear, Part
from mos_protocol.package import check_package, expected_files, optional_files
from safetensors.numpy import load_file, save_file
from tiny_package import relist, tiny_layer_map, write_package

CONCEPT = "concept.safetensors"
EXTRA = "moments/unet.mid_block.feed_forward.safetensors"
LAYER = "unet.mid_block.attentions.0.proj_in"
TO_K = "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k"


def wide_layer_map() -> LayerMap:
    """The tiny map with an extra block of one layer."""
    source = "unet.mid_block.attentions.0.in"
    layer = Linear(name=LAYER, input=source, part=Part.SPATIAL, d_in=6, d_out=4)
    block = Block(
        name="unet.mid_block.feed_forward",
        inputs=(LayerInput(name=source, width=6),),
        layers=(layer,),
    )
    return tiny_layer_map().model_copy(update={"extra_blocks": (block,)})


@pytest.fixture
def package(tmp_path) -> Path:
    """A package whose concept changes the extra layer, with rank 2 everywhere."""
    write_package(tmp_path / "package", wide_layer_map())
    return tmp_path / "package"


def change(package: Path, edit) -> None:
    """Let `edit` change the concept's tensors, and have the manifest agree."""
    tensors = {name: array.copy() for name, array in load_file(package / CONCEPT).items()}
    edit(tensors)
    save_file(tensors, package / CONCEPT, metadata={"format": "mos-concept/1"})
    relist(package)


def refusal(package: Path) -> InvalidPackage:
    with pytest.raises(InvalidPackage) as caught:
        check_package(package, wide_layer_map())
    return caught.value


def drop_the_extra_layer(tensors: dict) -> None:
    del tensors[f"{LAYER}.lora.down"], tensors[f"{LAYER}.lora.up"]


def factors(rank: int, layer: str = TO_K, d_in: int = 8, d_out: int = 12) -> dict:
    return {
        f"{layer}.lora.down": np.ones((rank, d_in), np.float32),
        f"{layer}.lora.up": np.ones((d_out, rank), np.float32),
    }


def test_files_of_extra_blocks_are_optional():
    assert optional_files(wide_layer_map()) == {EXTRA}
    assert expected_files(wide_layer_map()) == expected_files(tiny_layer_map())


def test_a_concept_that_changes_an_extra_layer_brings_its_moments(package):
    assert check_package(package, wide_layer_map()).file(EXTRA)


def test_moments_of_a_changed_extra_block_must_be_there(package):
    (package / EXTRA).unlink()
    relist(package)
    error = refusal(package)
    assert error.file == EXTRA
    assert "changes unet.mid_block.feed_forward" in error.reason


def test_moments_of_an_unchanged_extra_block_may_be_there_or_not(package):
    change(package, drop_the_extra_layer)
    check_package(package, wide_layer_map())
    (package / EXTRA).unlink()
    relist(package)
    check_package(package, wide_layer_map())


def test_a_base_without_the_extra_block_refuses_both_its_files_and_its_layers(package):
    with pytest.raises(InvalidPackage, match="no such block"):
        check_package(package, tiny_layer_map())
    (package / EXTRA).unlink()
    relist(package)
    with pytest.raises(InvalidPackage, match=f"unknown tensor '{LAYER}"):
        check_package(package, tiny_layer_map())


def test_moments_of_an_extra_block_are_checked_like_the_others(package):
    (package / EXTRA).write_bytes((package / "moments/unet.mid_block.safetensors").read_bytes())
    relist(package)
    assert refusal(package).file == EXTRA


def test_a_layer_may_have_a_lower_rank_than_the_concept(package):
    change(package, lambda tensors: tensors.update(factors(rank=1)))
    assert check_package(package, wide_layer_map()).rank == 2


@pytest.mark.parametrize("rank", [0, 3, 5])
def test_a_rank_above_the_manifests_or_of_nothing_is_refused(package, rank):
    change(package, lambda tensors: tensors.update(factors(rank)))
    assert f"has rank {rank}; the manifest says 1 to 2" in refusal(package).reason


@pytest.mark.parametrize(
    "edit",
    [
        {f"{TO_K}.lora.up": np.ones((12, 1), np.float32)},
        {f"{TO_K}.lora.down": np.ones((1, 8), np.float32)},
        {f"{TO_K}.lora.down": np.ones((2, 9), np.float32)},
        {f"{TO_K}.lora.down": np.ones((2, 8, 1, 1), np.float32)},
        {f"{TO_K}.lora.down": np.ones(16, np.float32)},
        {f"{TO_K}.lora.up": np.ones((12, 2, 1, 1), np.float32)},
    ],
)
def test_factors_that_do_not_fit_each_other_or_the_layer_are_refused(package, edit):
    change(package, lambda tensors: tensors.update(edit))
    assert "shape" in refusal(package).reason


def test_a_rank_for_a_layer_that_is_not_there_is_refused(package):
    change(package, lambda tensors: tensors.update(factors(1, "unet.conv_in")))
    assert "unknown tensor" in refusal(package).reason
