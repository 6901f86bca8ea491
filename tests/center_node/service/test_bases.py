from __future__ import annotations

from pathlib import Path

import pytest
from center_steps import stored
from concept_packages import small_layer_map, write_package
from mos_center.opening import OpenedData
from mos_center.service.center import Center
from mos_protocol.errors import Conflict, InvalidRequest, NotFound
from mos_protocol.moments import moments_path


@pytest.fixture
def prior(tmp_path: Path) -> dict[str, Path]:
    """Moments files for every block of the small base."""
    folder = write_package(tmp_path / "prior")
    return {block.name: folder / moments_path(block.name) for block in small_layer_map().blocks}


def test_a_base_is_found_by_name_with_its_prior(
    center: Center, data: OpenedData, tmp_path: Path, prior: dict[str, Path]
) -> None:
    added = center.bases.add("small", tmp_path, small_layer_map(), prior)

    assert center.bases.get("small") == added
    assert center.bases.all() == (added,)
    files = center.bases.prior("small")
    assert {block: file.size for block, file in files.items()} == {
        block: path.stat().st_size for block, path in prior.items()
    }
    assert stored(data) == set(added.prior.values())


def test_registering_the_same_base_again_changes_nothing(
    center: Center, tmp_path: Path, prior: dict[str, Path]
) -> None:
    added = center.bases.add("small", tmp_path, small_layer_map(), prior)

    assert center.bases.add("small", tmp_path, small_layer_map(), prior) == added
    with pytest.raises(Conflict, match="never changes"):
        center.bases.add("small", tmp_path, small_layer_map("cd" * 32), {})
    with pytest.raises(Conflict, match="already registered"):
        center.bases.add("renamed", tmp_path, small_layer_map(), prior)


def test_statistics_are_added_to_a_base_that_has_none(center: Center, tmp_path: Path) -> None:
    center.bases.add("small", tmp_path, small_layer_map(), {})
    first, other = {"a": {"norm": 1.0}}, {"a": {"norm": 2.0}}

    center.bases.add("small", tmp_path, small_layer_map(), {}, first)
    kept = center.bases.add("small", tmp_path, small_layer_map(), {}, other)

    assert kept == center.bases.get("small")
    assert kept.statistics == first


def test_a_prior_has_a_file_for_every_block(
    center: Center, tmp_path: Path, prior: dict[str, Path]
) -> None:
    del prior["text_encoder"]

    with pytest.raises(InvalidRequest, match=r"covers the blocks \['unet\.mid_block'\]"):
        center.bases.add("small", tmp_path, small_layer_map(), prior)


def test_a_prior_may_cover_the_blocks_that_only_some_concepts_change(
    center: Center, tmp_path: Path, prior: dict[str, Path]
) -> None:
    extra = small_layer_map().blocks[1].model_copy(update={"name": "unet.mid_block.feed_forward"})
    layers = small_layer_map().model_copy(update={"extra_blocks": (extra,)})
    path = prior["unet.mid_block"]

    with pytest.raises(InvalidRequest, match="covers the blocks"):
        center.bases.add("small", tmp_path, layers, {**prior, "unet.elsewhere": path})
    added = center.bases.add("small", tmp_path, layers, {**prior, extra.name: path})

    assert added.prior.keys() == {*prior, extra.name}
    assert center.bases.get("small").layer_map == layers


def test_an_unknown_base_is_not_found(center: Center) -> None:
    with pytest.raises(NotFound, match="no base 'sd15'"):
        center.bases.prior("sd15")
