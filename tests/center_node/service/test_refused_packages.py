"""Damaged and hostile packages: refused by name and reason, and nothing of them is left."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from center_steps import stored, submit_folder
from concept_packages import (
    MID_BLOCK,
    edit_header,
    edit_manifest,
    edit_tensors,
    reseal,
    write_package,
)
from mos_center.domain.access import LOCAL
from mos_center.domain.models import Submission
from mos_center.domain.states import SubmissionState
from mos_center.opening import OpenedData
from mos_center.service.center import Center
from mos_protocol.errors import InvalidPackage
from mos_protocol.manifest import CONCEPT_FILE

QUERY_UP = "unet.mid_block.a.attn1.to_q.lora.up"


def flipped_byte(package: Path) -> None:
    raw = bytearray((package / CONCEPT_FILE).read_bytes())
    raw[-3] ^= 1
    (package / CONCEPT_FILE).write_bytes(raw)


def oversize_file(package: Path) -> None:
    with (package / CONCEPT_FILE).open("ab") as file:
        file.write(b"more")


def wrong_shape(package: Path) -> None:
    edit_tensors(
        package / CONCEPT_FILE, lambda t: t.update({QUERY_UP: np.zeros((7, 2), np.float32)})
    )
    reseal(package)


def not_a_number(package: Path) -> None:
    edit_tensors(package / MID_BLOCK, lambda t: next(iter(t.values())).__setitem__(3, np.nan))
    reseal(package)


def outlier(package: Path) -> None:
    edit_tensors(package / CONCEPT_FILE, lambda t: t[QUERY_UP].__setitem__((0, 0), 1e9))
    reseal(package)


def unknown_tensor(package: Path) -> None:
    edit_tensors(package / CONCEPT_FILE, lambda t: t.update(backdoor=np.zeros(3, np.float32)))
    reseal(package)


def missing_tensor(package: Path) -> None:
    edit_tensors(package / MID_BLOCK, lambda t: t.pop("unet.mid_block.a.attn1.out.scale"))
    reseal(package)


def huge_header(package: Path) -> None:
    (package / CONCEPT_FILE).write_bytes((1 << 40).to_bytes(8, "little") + b"{}")
    reseal(package)


def truncated_file(package: Path) -> None:
    raw = (package / MID_BLOCK).read_bytes()
    (package / MID_BLOCK).write_bytes(raw[:-8])
    reseal(package)


def truncated_header(package: Path) -> None:
    (package / CONCEPT_FILE).write_bytes((package / CONCEPT_FILE).read_bytes()[:20])
    reseal(package)


def no_safetensors(package: Path) -> None:
    (package / CONCEPT_FILE).write_bytes(b"\x80\x04\x95 a pickle")
    reseal(package)


def gap_between_tensors(package: Path) -> None:
    path = package / MID_BLOCK
    edit_header(path, lambda header: _shift(header, 4))
    with path.open("ab") as file:
        file.write(b"\0\0\0\0")
    reseal(package)


def overlapping_tensors(package: Path) -> None:
    edit_header(package / MID_BLOCK, lambda header: _shift(header, -4))
    reseal(package)


def repeated_key(package: Path) -> None:
    def repeat(header: dict) -> bytes:
        inner = json.dumps(header)[1:-1]
        return f"{{{inner}, {inner}}}".encode()

    edit_header(package / MID_BLOCK, repeat)
    reseal(package)


def thousands_of_empty_tensors(package: Path) -> None:
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    edit_header(
        package / CONCEPT_FILE, lambda h: h.update({f"{n:x}": empty for n in range(300_000)})
    )
    # Past the size check of the offer, as if the base were much larger.
    reseal(package)


def some_empty_tensors(package: Path) -> None:
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    edit_header(package / CONCEPT_FILE, lambda h: h.update({f"{n:x}": empty for n in range(9)}))
    reseal(package)


def metadata_full_of_markup(package: Path) -> None:
    markup = "<script>alert(1)</script>" * 20
    edit_header(package / CONCEPT_FILE, lambda h: h.update(__metadata__={"title": markup}))
    reseal(package)


def preview_that_is_no_picture(package: Path) -> None:
    (package / "previews/0.7.png").write_bytes(b"<svg onload=alert(1)>")
    reseal(package)


def wrong_base(package: Path) -> None:
    edit_manifest(package, lambda m: m["base"].update(digest="ef" * 32))


def path_traversal(package: Path) -> None:
    edit_manifest(package, lambda m: m["files"][0].update(path="../../center.db"))


def absolute_path(package: Path) -> None:
    edit_manifest(package, lambda m: m["files"][0].update(path="/etc/passwd"))


def oversize_in_manifest(package: Path) -> None:
    edit_manifest(package, lambda m: m["files"][0].update(size=1 << 35))


def lists_a_path_twice(package: Path) -> None:
    edit_manifest(package, lambda m: m["files"].append(m["files"][0]))


def unknown_field(package: Path) -> None:
    edit_manifest(package, lambda m: m.update(run="rm -rf /"))


def markup_as_words(package: Path) -> None:
    edit_manifest(package, lambda m: m.update(words=["<img src=x>"]))


def missing_block(package: Path) -> None:
    (package / MID_BLOCK).unlink()
    reseal(package)


def unknown_block(package: Path) -> None:
    raw = (package / MID_BLOCK).read_bytes()
    (package / "moments/unet.elsewhere.safetensors").write_bytes(raw)
    reseal(package)


def manifest_of_a_megabyte(package: Path) -> None:
    edit_manifest(package, lambda m: m.update(description="x" * (1 << 20)))


def _shift(header: dict, by: int) -> None:
    tensors = [item for name, item in header.items() if name != "__metadata__"]
    last = max(tensors, key=lambda item: item["data_offsets"][0])
    last["data_offsets"] = [offset + by for offset in last["data_offsets"]]


REFUSALS = [
    (flipped_byte, CONCEPT_FILE, "content does not match the manifest"),
    (oversize_file, CONCEPT_FILE, "more than the announced"),
    (wrong_shape, CONCEPT_FILE, r"has shape \(7, 2\); the base model needs \(6, 2\)"),
    (not_a_number, MID_BLOCK, "not finite"),
    (outlier, CONCEPT_FILE, "has a value of 1e\\+09; at most 1000"),
    (unknown_tensor, CONCEPT_FILE, "unknown tensor 'backdoor'"),
    (missing_tensor, MID_BLOCK, r"lacks tensor 'unet\.mid_block\.a\.attn1\.out\.scale'"),
    (huge_header, CONCEPT_FILE, "header of 1099511627776 bytes"),
    (truncated_file, MID_BLOCK, "damaged or truncated"),
    (truncated_header, CONCEPT_FILE, "truncated inside its header"),
    (no_safetensors, CONCEPT_FILE, "header of .* bytes|too short|truncated"),
    (gap_between_tensors, MID_BLOCK, "overlap or leave a gap"),
    (overlapping_tensors, MID_BLOCK, "overlap or leave a gap"),
    (repeated_key, MID_BLOCK, "no valid JSON"),
    (thousands_of_empty_tensors, CONCEPT_FILE, "bytes; at most"),
    (some_empty_tensors, CONCEPT_FILE, "unknown tensor '0'"),
    (metadata_full_of_markup, CONCEPT_FILE, "metadata is not a few short"),
    (preview_that_is_no_picture, "previews/0.7.png", "no PNG picture"),
    (wrong_base, "manifest.json", "not registered here"),
    (path_traversal, "manifest.json", r"files\.0\.path"),
    (absolute_path, "manifest.json", r"files\.0\.path"),
    (oversize_in_manifest, CONCEPT_FILE, "34359738368 bytes; at most"),
    (lists_a_path_twice, "manifest.json", "a path twice"),
    (unknown_field, "manifest.json", "run: Extra inputs are not permitted"),
    (markup_as_words, "manifest.json", r"words\.0"),
    (missing_block, MID_BLOCK, "missing from the package's file list"),
    (unknown_block, "moments/unet.elsewhere.safetensors", "no such block"),
    (manifest_of_a_megabyte, "manifest.json", "at most 262144"),
]


@pytest.mark.parametrize(("damage", "file", "reason"), REFUSALS, ids=lambda v: _name(v))
def test_a_bad_package_is_refused_by_name_and_reason_and_leaves_nothing(
    damage: Callable[[Path], None],
    file: str,
    reason: str,
    center: Center,
    data: OpenedData,
    package: Path,
) -> None:
    damage(package)

    with pytest.raises(InvalidPackage, match=reason) as refusal:
        submit_folder(center, package)

    assert refusal.value.file == file
    assert stored(data) == set()
    accepted = set(SubmissionState) - {SubmissionState.REJECTED}
    assert center.submissions.find(states=accepted, limit=10, caller=LOCAL) == ()


def test_a_refused_package_says_why_to_whoever_asks_later(center: Center, package: Path) -> None:
    not_a_number(package)
    with pytest.raises(InvalidPackage):
        submit_folder(center, package)

    (submission,) = center.submissions.find(
        states=[SubmissionState.REJECTED], limit=10, caller=LOCAL
    )

    assert submission.reason.startswith(f"{MID_BLOCK}: ")
    assert "not finite" in submission.reason


def test_refusing_a_package_spares_the_files_that_another_one_shares(
    center: Center,
    data: OpenedData,
    submit: Callable[..., Submission],
    tmp_path: Path,
) -> None:
    good = submit(seed=5)
    twin = write_package(tmp_path / "twin", concept="eve/copy", seed=5)
    outlier(twin)

    with pytest.raises(InvalidPackage):
        submit_folder(center, twin)

    kept = {entry.sha256 for entry in good.manifest.files}
    assert stored(data) == kept


def _name(value: object) -> str:
    return value.__name__ if callable(value) else ""
