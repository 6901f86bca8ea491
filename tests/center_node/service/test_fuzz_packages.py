"""Hostile packages, made by chance: every mutation is refused with a `MosError`, or harmless.

Whatever happens, nothing of a refused package is kept.
"""

from __future__ import annotations

import json
import random
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from center_steps import stored, submit_folder
from concept_packages import MID_BLOCK, reseal, small_layer_map, write_package
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from mos_center.domain.access import LOCAL
from mos_center.domain.states import SubmissionState
from mos_center.opening import OpenedData, opened
from mos_center.settings import Settings
from mos_protocol.errors import MosError
from mos_protocol.manifest import CONCEPT_FILE, MANIFEST_FILE
from sqlalchemy import text

FILES = (CONCEPT_FILE, MID_BLOCK, "previews/0.7.png")
many = settings(
    max_examples=150,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
# Each of these submits a whole package.
some = settings(many, max_examples=40)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["../../etc/passwd", "concept.safetensors", "a" * 300, "\ud800", "\x00"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A valid package."""
    with tempfile.TemporaryDirectory() as root:
        yield write_package(Path(root) / "package")


@pytest.fixture(scope="module")
def shared(empty_data: Path, folder: Path) -> Iterator[OpenedData]:
    """One center for all examples: they leave nothing behind, which is what is tested."""
    shutil.copytree(empty_data, folder.parent / "data")
    with opened(Settings(data=folder.parent / "data")) as data:
        data.center().bases.add("small", folder.parent, small_layer_map(), {})
        yield data


@contextmanager
def copied(folder: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as root:
        yield Path(shutil.copytree(folder, Path(root) / "package"))


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path to every value within a JSON document, the whole included."""
    yield path
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(item, (*path, key))


def replaced(document: Any, path: tuple[Any, ...], new: Any) -> Any:
    """The document with another value at `path`; `...` leaves the place out."""
    if not path:
        return {} if new is ... else new
    copy = document.copy()
    if new is ... and len(path) == 1:
        del copy[path[0]]
    else:
        copy[path[0]] = replaced(copy[path[0]], path[1:], new)
    return copy


def offered(data: OpenedData, manifest: bytes) -> None:
    """Offer it; a refusal must be a `MosError` that leaves no row, anything else is withdrawn."""
    center = data.center()
    before = rows(data)
    try:
        offer = center.submissions.offer(manifest, caller=LOCAL)
    except MosError as error:
        check_code(error)
        assert rows(data) == before
    else:
        if offer.submission.state is SubmissionState.UPLOADING:
            center.submissions.reject(offer.submission.id, "fuzzed", LOCAL)
    assert stored(data) == set()


def check_code(error: MosError) -> None:
    """A refusal is the sender's to mend."""
    codes = ("invalid_package", "invalid_request", "invalid_name", "conflict")
    assert error.code in codes, error


def rows(data: OpenedData) -> tuple[int, ...]:
    tables = ("submissions", "submission_files", "blobs", "concepts", "audit_log", "outbox")
    with data.database.engine.connect() as connection:
        return tuple(connection.scalar(text(f"SELECT count(*) FROM {table}")) for table in tables)


def refused_without_a_trace(data: OpenedData, folder: Path) -> None:
    """Submit; what is refused leaves no blob, what is accepted is withdrawn again."""
    center = data.center()
    try:
        submission = submit_folder(center, folder)
    except MosError as error:
        check_code(error)
    else:
        owner, name = submission.concept.split("/")
        version = submission.version or 0
        center.withdrawal.withdraw(owner, name, version, "fuzzed", caller=LOCAL)
    assert stored(data) == set()


@many
@given(data=st.data())
def test_a_manifest_with_any_value_replaced_is_refused_or_harmless(
    shared: OpenedData, folder: Path, data: st.DataObject
) -> None:
    document = json.loads((folder / MANIFEST_FILE).read_bytes())
    path = data.draw(st.sampled_from(list(places(document))))
    new = data.draw(st.just(...) | json_values)

    written = json.dumps(replaced(document, path, new))

    offered(shared, written.encode("utf-8", errors="surrogatepass"))


@many
@given(position=st.floats(0, 1), raw=st.binary(max_size=8), cut=st.integers(0, 40))
def test_a_manifest_with_any_bytes_replaced_is_refused_or_harmless(
    shared: OpenedData, folder: Path, position: float, raw: bytes, cut: int
) -> None:
    original = (folder / MANIFEST_FILE).read_bytes()
    at = int(position * len(original))

    offered(shared, original[:at] + raw + original[at + cut :])


@many
@given(raw=st.binary(max_size=200))
@example(b"")
@example(b"[" * 100_000)
@example(b'{"a":' * 50_000)
@example(b"\xff\xfe{}")
@example(b"1" * 5000)
def test_what_is_no_manifest_at_all_is_refused(shared: OpenedData, raw: bytes) -> None:
    offered(shared, raw)


def header_of(raw: bytes) -> tuple[dict[str, Any], bytes]:
    length = struct.unpack("<Q", raw[:8])[0]
    return json.loads(raw[8 : 8 + length]), raw[8 + length :]


@some
@given(file=st.sampled_from(FILES[:2]), data=st.data())
def test_a_tensor_header_with_any_value_replaced_is_refused_or_harmless(
    shared: OpenedData, folder: Path, file: str, data: st.DataObject
) -> None:
    header, tensors = header_of((folder / file).read_bytes())
    path = data.draw(st.sampled_from(list(places(header))))
    written = json.dumps(replaced(header, path, data.draw(st.just(...) | json_values)))
    encoded = written.encode("utf-8", errors="surrogatepass")

    with copied(folder) as copy:
        (copy / file).write_bytes(struct.pack("<Q", len(encoded)) + encoded + tensors)
        reseal(copy)
        refused_without_a_trace(shared, copy)


@some
@given(
    file=st.sampled_from(FILES),
    length=st.none() | st.integers(0, 2**64 - 1) | st.integers(0, 2000),
    seed=st.integers(0, 2**32),
    flips=st.integers(0, 20),
    cut=st.integers(0, 500),
)
def test_a_file_with_any_bytes_changed_is_refused_or_harmless(
    shared: OpenedData,
    folder: Path,
    file: str,
    length: int | None,
    seed: int,
    flips: int,
    cut: int,
) -> None:
    raw = bytearray((folder / file).read_bytes())
    if length is not None and len(raw) > 8:
        raw[:8] = struct.pack("<Q", length)
    draw = random.Random(seed)
    for _ in range(flips):
        # Mostly in the header, where the meaning is.
        raw[min(int(draw.expovariate(1 / 200)), len(raw) - 1)] = draw.randrange(256)

    with copied(folder) as copy:
        (copy / file).write_bytes(raw[: max(1, len(raw) - cut)])
        reseal(copy)
        refused_without_a_trace(shared, copy)


@some
@given(values=st.lists(st.floats(width=32), min_size=1, max_size=4), at=st.floats(0, 1))
def test_numbers_of_any_kind_in_the_tensors_are_refused_or_harmless(
    shared: OpenedData, folder: Path, values: list[float], at: float
) -> None:
    def damage(raw: bytes) -> bytes:
        length = 8 + struct.unpack("<Q", raw[:8])[0]
        count = (len(raw) - length) // 4 - len(values)
        start = length + 4 * int(at * max(count, 0))
        new = struct.pack(f"<{len(values)}f", *values)
        return (raw[:start] + new + raw[start + len(new) :])[: len(raw)]

    for file in FILES[:2]:
        with changed(folder, file, damage) as copy:
            refused_without_a_trace(shared, copy)


@contextmanager
def changed(folder: Path, file: str, change: Callable[[bytes], bytes]) -> Iterator[Path]:
    with copied(folder) as copy:
        (copy / file).write_bytes(change((copy / file).read_bytes()))
        reseal(copy)
        yield copy
