"""The manifest: what is accepted, what is refused, and that refusals stay short."""

from __future__ import annotations

import json

import pytest
from mos_protocol.errors import InvalidPackage
from mos_protocol.manifest import MAX_MANIFEST_BYTES, parse_manifest, read_manifest
from tiny_package import write_package


@pytest.fixture
def document(tmp_path) -> dict:
    return json.loads(write_package(tmp_path / "package").to_bytes())


def parse(document: dict):
    return parse_manifest(json.dumps(document).encode())


def refusal(data: bytes) -> InvalidPackage:
    with pytest.raises(InvalidPackage) as caught:
        parse_manifest(data)
    assert caught.value.file == "manifest.json"
    return caught.value


def test_a_manifest_comes_back_as_it_was_written(tmp_path):
    manifest = write_package(tmp_path / "package")
    assert parse_manifest(manifest.to_bytes()) == manifest
    assert parse_manifest(manifest.to_bytes()).to_bytes() == manifest.to_bytes()
    assert read_manifest(tmp_path / "package") == manifest


def test_the_digest_depends_on_every_file(tmp_path):
    one = write_package(tmp_path / "one", seed=0)
    other = write_package(tmp_path / "other", seed=1)
    assert one.digest() != other.digest()
    assert one.digest() == write_package(tmp_path / "again", seed=0).digest()


def test_a_folder_without_a_manifest_is_refused(tmp_path):
    with pytest.raises(InvalidPackage, match="not found"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    "path",
    [
        "../../etc/passwd",
        "/etc/passwd",
        "moments/../../x.safetensors",
        "moments/a/b.safetensors",
        "previews/../../a.png",
        "previews/a\\..\\b.png",
        "previews/a.png\n",
        "previews/A.png",
        "previews/a.svg",
        "concept.safetensors\x00",
        "manifest.json",
        "concept.pt",
        "",
    ],
)
def test_a_path_that_is_no_file_of_a_package_is_refused(document, path):
    document["files"][0]["path"] = path
    assert "files.0.path" in refusal(json.dumps(document).encode()).reason


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("format", "mos-concept/2"),
        ("concept", "potter"),
        ("concept", "ada/potter\n"),
        ("words", []),
        ("words", ["potter"]),
        ("words", ["<a>", "<a>"]),
        ("class_word", "two words"),
        ("class_word", "<b>"),
        ("rank", 0),
        ("rank", 257),
        ("rank", True),
        ("rank", "4"),
        ("rank", 4.5),
        ("files", []),
        ("licence", "x" * 2001),
        ("licence", "\x1b[2J"),
        ("description", "a\x00b"),
        ("tool", "\x1b]0;title\x07"),
        ("method", "pickle"),
    ],
)
def test_a_wrong_field_is_refused_by_name(document, field, value):
    document[field] = value
    assert field in refusal(json.dumps(document).encode()).reason


@pytest.mark.parametrize("value", [-1, 0, True, "10", 1 << 40, 1.5, None])
def test_a_size_that_is_no_sensible_integer_is_refused(document, value):
    document["files"][0]["size"] = value
    assert "files.0.size" in refusal(json.dumps(document).encode()).reason


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-1", "1e999"])
def test_a_loss_that_is_no_number_is_refused(document, value):
    text = json.dumps(document).replace('"final_loss": 0.1', f'"final_loss": {value}')
    assert "final_loss" in refusal(text.encode()).reason or "JSON" in refusal(text.encode()).reason


def test_a_number_too_big_for_any_store_is_refused(document):
    document["training"]["seed"] = 1 << 70
    assert "training.seed" in refusal(json.dumps(document).encode()).reason


def test_an_unknown_field_is_refused(document):
    document["run_on_load"] = "rm"
    assert "run_on_load" in refusal(json.dumps(document).encode()).reason


def test_a_path_listed_twice_is_refused(document):
    document["files"].append(document["files"][0])
    assert "twice" in refusal(json.dumps(document).encode()).reason


def test_a_manifest_without_the_concept_file_is_refused(document):
    document["files"] = [item for item in document["files"] if item["path"].startswith("moments")]
    assert "concept.safetensors" in refusal(json.dumps(document).encode()).reason


@pytest.mark.parametrize(
    "data",
    [b"", b"null", b"[]", b"\xff\xfe", b'{"format": "\\ud800"}', b"[" * 100_000, b"{" * 1000],
)
def test_what_is_no_manifest_at_all_is_refused(data):
    refusal(data)


def test_an_oversized_manifest_is_refused_before_it_is_parsed():
    assert "at most" in refusal(b" " * (MAX_MANIFEST_BYTES + 1)).reason


def test_an_oversized_manifest_is_not_read_into_memory(tmp_path):
    with (tmp_path / "manifest.json").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(InvalidPackage, match="at most"):
        read_manifest(tmp_path)


def test_a_refusal_stays_short_enough_for_a_header(document):
    for number in range(100):
        document[f"{number}{'x' * 2000}"] = "<script>" * 10
    assert len(refusal(json.dumps(document).encode()).message) < 2000


SOURCE = {"file": "cat.safetensors", "sha256": "ab" * 32, "words_from": "trigger"}


@pytest.fixture
def imported(document) -> dict:
    """The manifest of a concept that another tool tuned."""
    del document["training"]
    return document | {"method": "imported", "source": SOURCE | {"trigger": "ohwx cat"}}


def test_an_imported_concept_says_where_it_comes_from_and_nothing_of_training(imported):
    manifest = parse(imported)
    assert manifest.training is None
    assert (manifest.source.file, manifest.source.skipped) == ("cat.safetensors", 0)
    assert parse_manifest(manifest.to_bytes()) == manifest
    assert b"null" not in manifest.to_bytes()


def test_a_tuned_concepts_manifest_has_no_word_of_importing(tmp_path):
    assert b"source" not in write_package(tmp_path / "package").to_bytes()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"method": "ed-lora"}, "training must be told"),
        ({"source": None}, "source must be told"),
    ],
)
def test_an_imported_concept_must_be_honest(imported, changes, told):
    assert told in refusal(json.dumps(imported | changes).encode()).reason


def test_a_tuned_concept_must_be_honest(document):
    assert "source must not" in refusal(json.dumps(document | {"source": SOURCE}).encode()).reason
    imported = document | {"method": "imported", "source": SOURCE}
    assert "training must not" in refusal(json.dumps(imported).encode()).reason
    del document["training"]
    assert "training must be told" in refusal(json.dumps(document).encode()).reason


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("file", ""),
        ("file", "x" * 256),
        ("file", "\x1b[2J"),
        ("sha256", "ab"),
        ("words_from", "thin air"),
        ("trigger", "x" * 201),
        ("skipped", -1),
        ("run", "rm"),
    ],
)
def test_a_wrong_word_about_the_source_is_refused_by_name(imported, field, value):
    imported["source"] = imported["source"] | {field: value}
    assert f"source.{field}" in refusal(json.dumps(imported).encode()).reason
