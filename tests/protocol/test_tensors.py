"""Headers of safetensors files, honest and hostile."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from mos_protocol.errors import InvalidPackage
from mos_protocol.package import expected_files
from mos_protocol.tensors import (
    MAX_HEADER_BYTES,
    check_tensors,
    check_values,
    concept_shapes,
    read_header,
)
from safetensors.numpy import load_file, save_file
from tiny_package import tiny_layer_map

LABEL = "concept.safetensors"


def write_raw(path: Path, header: object, data: bytes = b"") -> Path:
    """A safetensors file with exactly this header, given as bytes or as something JSON."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + data)
    return path


def entry(begin: object, end: object, shape: object = (2,), dtype: object = "F32") -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def refusal(path: Path) -> str:
    with pytest.raises(InvalidPackage) as caught:
        read_header(path, LABEL)
    assert caught.value.file == LABEL
    return caught.value.reason


def test_a_header_says_where_each_tensor_lies(tmp_path):
    path = tmp_path / "a.safetensors"
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(3, np.float16)}
    save_file(arrays, path, metadata={"format": "mos-concept/1"})
    entries = read_header(path, LABEL)
    assert {name: item.spec.shape for name, item in entries.items()} == {"a": (2, 3), "b": (3,)}
    raw = path.read_bytes()
    read = np.frombuffer(raw[entries["a"].begin : entries["a"].end], "<f4")
    assert read.tolist() == list(range(6))


def test_what_is_accepted_can_be_opened_by_safetensors(tmp_path):
    path = write_raw(tmp_path / "a", {"a": entry(0, 8)}, b"\0" * 8)
    read_header(path, LABEL)
    assert load_file(path)["a"].shape == (2,)


@pytest.mark.parametrize("data", [b"", b"\x01", b"\xff" * 8, struct.pack("<Q", 100) + b"{}"])
def test_a_file_too_short_for_its_header_is_refused(tmp_path, data):
    path = tmp_path / "a"
    path.write_bytes(data)
    assert refusal(path)


def test_a_huge_header_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "a"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", MAX_HEADER_BYTES + 1))
        file.truncate(1 << 33)
    assert "header" in refusal(path)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"[]",
        b"null",
        b'"a"',
        b"{",
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        b" {}",
        '{"a": 1}'.encode("utf-16"),
        b'{"a":' * 50_000,
        b"[" * 1_000_000,
        b'{"__metadata__": {}, "__metadata__": {}}',
    ],
)
def test_a_header_that_is_no_plain_json_object_is_refused(tmp_path, header):
    assert "header" in refusal(write_raw(tmp_path / "a", header))


def test_a_tensor_named_twice_is_refused(tmp_path):
    one = json.dumps(entry(0, 8))
    path = write_raw(tmp_path / "a", f'{{"a": {one}, "a": {one}}}'.encode(), b"\0" * 8)
    assert "JSON" in refusal(path)


@pytest.mark.parametrize(
    "item",
    [
        entry(-8, 0),
        entry(0, 1 << 60),
        entry(8, 0),
        entry(0.0, 8),
        entry(False, 8),
        entry(0, "8"),
        entry(0, None),
        entry(0, 8, shape=(True, 2)),
        entry(0, 8, shape=(-2,)),
        entry(0, 8, shape=(-1, -2)),
        entry(0, 8, shape=(2.0,)),
        entry(0, 8, shape=2),
        entry(0, 8, shape=(1 << 62,)),
        entry(0, 8, shape=(1, 1, 1, 1, 2)),
        entry(0, 8, dtype="F64"),
        entry(0, 8, dtype="BF16"),
        entry(0, 8, dtype=["F32"]),
        entry(0, 8, dtype=None),
        {"dtype": "F32", "shape": [2], "data_offsets": [0, 8, 8]},
        {"dtype": "F32", "shape": [2], "data_offsets": [0]},
        {"dtype": "F32", "shape": [2]},
        {**entry(0, 8), "extra": 1},
        [],
        None,
        "F32",
    ],
)
def test_a_wrongly_described_tensor_is_refused(tmp_path, item):
    assert "'a'" in refusal(write_raw(tmp_path / "a", {"a": item}, b"\0" * 8))


@pytest.mark.parametrize(
    ("entries", "length"),
    [
        ({"a": entry(0, 8), "b": entry(4, 12)}, 12),
        ({"a": entry(0, 8), "b": entry(12, 20)}, 20),
        ({"a": entry(4, 12)}, 12),
        ({"a": entry(0, 8), "b": entry(0, 8)}, 8),
    ],
)
def test_tensors_that_overlap_or_leave_a_gap_are_refused(tmp_path, entries, length):
    assert "overlap" in refusal(write_raw(tmp_path / "a", entries, b"\0" * length))


@pytest.mark.parametrize("length", [0, 7, 9, 4096])
def test_a_data_area_of_the_wrong_length_is_refused(tmp_path, length):
    path = write_raw(tmp_path / "a", {"a": entry(0, 8)}, b"\0" * length)
    assert "truncated" in refusal(path)


def test_three_hundred_thousand_empty_tensors_are_refused(tmp_path):
    header = {str(number): entry(0, 0, shape=(0,)) for number in range(300_000)}
    assert "header" in refusal(write_raw(tmp_path / "a", header))


def test_a_header_full_of_empty_tensors_does_not_pass_the_allow_list(tmp_path):
    header = {str(number): entry(0, 0, shape=(0,)) for number in range(50_000)}
    entries = read_header(write_raw(tmp_path / "a", header), LABEL)
    with pytest.raises(InvalidPackage, match="unknown tensor"):
        check_tensors(entries, {"a": (2,)}, set(), LABEL)


@pytest.mark.parametrize(
    "metadata",
    [
        {"note": "<script>alert(1)</script>"},
        {"<b>": "x"},
        {"note": "\x1b[2J"},
        {"note": "\n"},
        {"note": "x" * 300},
        {"note": 1},
        {"note": None},
        {"note": {"a": "b"}},
        {str(number): "x" for number in range(9)},
        [],
        "text",
        None,
    ],
)
def test_metadata_that_is_not_a_few_plain_strings_is_refused(tmp_path, metadata):
    path = write_raw(tmp_path / "a", {"__metadata__": metadata, "a": entry(0, 8)}, b"\0" * 8)
    assert "metadata" in refusal(path)


def test_the_metadata_that_common_tools_write_is_accepted(tmp_path):
    metadata = {"format": "mos-concept/1", "tool": "mos-client 0.1.0"}
    path = write_raw(tmp_path / "a", {"__metadata__": metadata, "a": entry(0, 8)}, b"\0" * 8)
    assert set(read_header(path, LABEL)) == {"a"}


def check(path: Path, allowed: dict, required: set, **options) -> str:
    with pytest.raises(InvalidPackage) as caught:
        check_tensors(read_header(path, LABEL), allowed, required, LABEL, **options)
    return caught.value.reason


def test_a_tensor_is_refused_for_its_name_shape_type_or_absence(tmp_path):
    path = write_raw(tmp_path / "a", {"a": entry(0, 8)}, b"\0" * 8)
    assert "unknown tensor 'a'" in check(path, {"b": (2,)}, set())
    assert "shape (2,)" in check(path, {"a": (1, 2)}, set())
    assert "expected F16" in check(path, {"a": (2,)}, set(), dtypes=("F16",))
    assert "lacks tensor 'b'" in check(path, {"a": (2,), "b": (2,)}, {"b"})


def test_a_hostile_tensor_name_is_shortened_and_escaped(tmp_path):
    name = "\x1b[2J" + "x" * 100_000
    reason = check(write_raw(tmp_path / "a", {name: entry(0, 8)}, b"\0" * 8), {}, set())
    assert "\x1b" not in reason
    assert len(reason) < 400


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_value_that_is_not_finite_is_refused_wherever_it_lies(tmp_path, value, dtype):
    array = np.zeros(3 << 20, dtype)
    array[-1] = value
    path = tmp_path / "a"
    save_file({"first": np.zeros(2, dtype), "a": array}, path)
    with pytest.raises(InvalidPackage, match="'a' has values that are not finite"):
        check_values(path, read_header(path, LABEL), 10.0, LABEL)


def test_a_value_above_the_limit_is_refused_and_one_at_it_is_not(tmp_path):
    path = tmp_path / "a"
    save_file({"a": np.array([-10.0, 10.0], np.float32)}, path)
    check_values(path, read_header(path, LABEL), 10.0, LABEL)
    with pytest.raises(InvalidPackage, match="at most 9"):
        check_values(path, read_header(path, LABEL), 9.0, LABEL)


def test_the_shapes_of_a_concept_follow_from_the_layer_map():
    shapes = concept_shapes(tiny_layer_map(), words=2, rank=4)
    assert shapes["text_encoder.embeddings"] == (2, 1, 8)
    layer = "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k"
    assert shapes[f"{layer}.lora.down"] == (4, 8)
    assert shapes[f"{layer}.lora.up"] == (12, 4)
    assert len(shapes) == 1 + 2 * 3


def test_a_package_has_one_moments_file_per_block():
    assert expected_files(tiny_layer_map()) == {
        "concept.safetensors",
        "moments/text_encoder.safetensors",
        "moments/unet.mid_block.safetensors",
    }
