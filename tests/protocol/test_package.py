"""A whole package: the good one passes, every damaged or hostile one is refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mos_protocol.errors import InvalidPackage
from mos_protocol.manifest import MANIFEST_FILE, FileEntry, listed_files, read_manifest
from mos_protocol.package import check_manifest, check_package
from safetensors.numpy import load_file, save_file
from tiny_package import relist, tiny_layer_map, tiny_png, write_package

CONCEPT = "concept.safetensors"
MOMENTS = "moments/unet.mid_block.safetensors"


@pytest.fixture
def package(tmp_path) -> Path:
    write_package(tmp_path / "package")
    return tmp_path / "package"


def refusal(package: Path) -> InvalidPackage:
    with pytest.raises(InvalidPackage) as caught:
        check_package(package, tiny_layer_map())
    return caught.value


def rewrite(path: Path, change) -> None:
    """Load the tensors, let `change` edit the dict, and write them back."""
    tensors = {name: array.copy() for name, array in load_file(path).items()}
    change(tensors)
    kind = "mos-concept/1" if path.name == CONCEPT else "mos-moments/2"
    save_file(tensors, path, metadata={"format": kind})


def test_a_good_package_passes_and_gives_its_manifest(package):
    assert check_package(package, tiny_layer_map()) == read_manifest(package)


@pytest.mark.parametrize("path", [CONCEPT, MOMENTS, "previews/1.0.png"])
@pytest.mark.parametrize("position", [0, -1])
def test_a_flipped_byte_is_refused_with_the_file(package, path, position):
    data = bytearray((package / path).read_bytes())
    data[position] ^= 1
    (package / path).write_bytes(data)
    error = refusal(package)
    assert error.file == path
    assert "does not match" in error.reason


@pytest.mark.parametrize("path", [CONCEPT, MOMENTS])
def test_a_truncated_file_is_refused_even_when_the_manifest_agrees(package, path):
    data = (package / path).read_bytes()
    (package / path).write_bytes(data[:-4])
    assert refusal(package).file == path
    relist(package)
    error = refusal(package)
    assert error.file == path
    assert "truncated" in error.reason


def test_a_missing_file_is_refused(package):
    (package / MOMENTS).unlink()
    assert (refusal(package).file, refusal(package).reason) == (MOMENTS, "missing")


def test_a_file_that_the_manifest_does_not_list_is_refused(package):
    (package / MOMENTS).unlink()
    relist(package)
    assert "missing from the package's file list" in refusal(package).reason


def test_a_package_for_another_base_is_refused_with_both_digests(package):
    other = tiny_layer_map(digest="0" * 64)
    with pytest.raises(InvalidPackage) as caught:
        check_package(package, other)
    assert caught.value.file == MANIFEST_FILE
    assert other.digest[:12] in caught.value.reason
    assert tiny_layer_map().digest[:12] in caught.value.reason


def test_moments_of_a_block_that_the_base_lacks_are_refused(package):
    extra = package / "moments/unet.up_blocks.9.safetensors"
    extra.write_bytes((package / MOMENTS).read_bytes())
    relist(package)
    assert refusal(package).file == "moments/unet.up_blocks.9.safetensors"


def _grow(tensors: dict) -> None:
    name = next(name for name in tensors if name.endswith("lora.up"))
    tensors[name] = tensors[name][:-1]


def _rename(tensors: dict) -> None:
    tensors["unet.conv_in.lora.up"] = tensors.pop(next(iter(tensors)))


def _lose_a_half(tensors: dict) -> None:
    del tensors[next(name for name in tensors if name.endswith("lora.down"))]


def _lose_the_embeddings(tensors: dict) -> None:
    del tensors["text_encoder.embeddings"]


def _put_nan(tensors: dict) -> None:
    tensors["text_encoder.embeddings"][0, 0, 0] = np.nan


def _put_a_million(tensors: dict) -> None:
    tensors["text_encoder.embeddings"][0, 0, 0] = 1e6


def _double(tensors: dict) -> None:
    tensors["text_encoder.embeddings"] = tensors["text_encoder.embeddings"].astype(np.float64)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_grow, "shape"),
        (_rename, "unknown tensor"),
        (_lose_a_half, "lacks tensor"),
        (_lose_the_embeddings, "lacks tensor 'text_encoder.embeddings'"),
        (_put_nan, "not finite"),
        (_put_a_million, "at most"),
        (_double, "F16 or F32"),
    ],
)
def test_wrong_tensors_are_refused_with_the_reason(package, change, reason):
    rewrite(package / CONCEPT, change)
    relist(package)
    error = refusal(package)
    assert error.file == CONCEPT
    assert reason in error.reason


def test_a_concept_may_leave_out_whole_layers(package):
    def drop_a_layer(tensors: dict) -> None:
        name = next(name for name in tensors if name.endswith("lora.up"))
        del tensors[name], tensors[name.replace("lora.up", "lora.down")]

    rewrite(package / CONCEPT, drop_a_layer)
    relist(package)
    assert check_package(package, tiny_layer_map()).words


def test_moments_must_be_complete_and_in_full_precision(package):
    rewrite(package / MOMENTS, lambda tensors: tensors.update(half_of(tensors)))
    relist(package)
    assert "expected F32" in refusal(package).reason


@pytest.mark.parametrize("metadata", [None, {"format": "mos-concept/1"}, {"format": "pt"}])
def test_a_file_must_say_what_it_is_or_fusion_could_not_read_it(package, metadata):
    tensors = load_file(package / MOMENTS)
    save_file(tensors, package / MOMENTS, metadata=metadata)
    relist(package)
    error = refusal(package)
    assert error.file == MOMENTS
    assert "expected 'mos-moments/2'" in error.reason


def half_of(tensors: dict) -> dict:
    floats = {name: array for name, array in tensors.items() if array.dtype == np.float32}
    return {name: array.astype(np.float16) for name, array in floats.items()}


def test_a_file_larger_than_its_content_can_be_is_refused_before_it_is_sent(package):
    manifest = read_manifest(package)
    files = tuple(
        entry if entry.path != CONCEPT else FileEntry(**{**entry.model_dump(), "size": 1 << 30})
        for entry in manifest.files
    )
    with pytest.raises(InvalidPackage, match="1073741824 bytes; at most"):
        check_manifest(manifest.model_copy(update={"files": files}), tiny_layer_map())


def test_a_preview_must_be_a_picture(package):
    (package / "previews/1.0.png").write_bytes(b"<svg onload=alert(1)>")
    relist(package)
    assert "no PNG" in refusal(package).reason


def test_previews_are_few(package):
    for number in range(60):
        (package / f"previews/{number}.png").write_bytes(tiny_png())
    relist(package)
    assert "previews" in refusal(package).reason


def test_a_folder_in_the_place_of_a_file_is_refused(package):
    (package / CONCEPT).unlink()
    (package / CONCEPT).mkdir()
    assert refusal(package).reason == "missing"


def test_listing_a_package_gives_every_file_but_the_manifest(package):
    assert {entry.path for entry in listed_files(package)} == {
        CONCEPT,
        MOMENTS,
        "moments/text_encoder.safetensors",
        "previews/1.0.png",
    }
