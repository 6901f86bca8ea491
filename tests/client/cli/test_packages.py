"""`package show`, `package check`, `submit`."""

from __future__ import annotations

import pytest
from mos_protocol.errors import EDGES
from mos_protocol.manifest import read_manifest
from mos_protocol.wire.v1 import submissions_pb2 as pb
from tiny_package import relist, tiny_png

REFUSED = EDGES["invalid_package"].exit_code


def test_show_prints_what_a_package_says_of_itself(run, package):
    outcome = run("package", "show", package)
    assert outcome.code == 0
    for told in ("ada/ball", "<ball1> <ball2>", "concept.safetensors", "rank 2"):
        assert told in outcome.out


def test_show_as_json_is_the_manifest(run, package):
    assert run("package", "show", package, "--json").json["concept"] == "ada/ball"


def test_check_needs_a_base_to_check_against(run, package):
    outcome = run("package", "check", package)
    assert outcome.code == EDGES["invalid_request"].exit_code
    assert "--base" in outcome.err


def test_check_against_the_centers_base_passes_a_sound_package(ask, package):
    outcome = ask("package", "check", package)
    assert (outcome.code, outcome.err) == (0, "")
    assert "is sound" in outcome.out


def test_check_names_the_file_and_the_reason(ask, package):
    data = bytearray((package / "concept.safetensors").read_bytes())
    data[-1] ^= 1
    (package / "concept.safetensors").write_bytes(data)
    outcome = ask("package", "check", package)
    assert outcome.code == REFUSED
    assert outcome.err.startswith("error: concept.safetensors: content does not match")


def test_submit_uploads_and_tells_the_version(ask, center, package):
    outcome = ask("submit", package)
    assert outcome.code == 0
    assert outcome.out.strip() == "ada/ball@1 is at the center and can be fused."
    assert "uploading: 100 %" in outcome.err
    assert len(center.received) == len(read_manifest(package).files)


def test_submit_again_sends_nothing(ask, center, package):
    ask("submit", package)
    sent = len(center.received)
    assert ask("submit", package).code == 0
    assert len(center.received) == sent


def test_submit_as_json_prints_one_document(ask, package):
    assert ask("submit", package, "--json").json["state"] == "approved"


def test_submit_tells_when_a_person_has_to_look_at_it(ask, center, package):
    center.next_state = pb.SUBMISSION_STATE_PENDING_REVIEW
    assert "pending review" in ask("submit", package).out


def test_submit_of_a_rejected_package_fails_with_the_reason(ask, center, package):
    center.next_state = pb.SUBMISSION_STATE_REJECTED
    center.reason = "shows a stranger"
    outcome = ask("submit", package)
    assert outcome.code == REFUSED
    assert "shows a stranger" in outcome.err


@pytest.mark.parametrize("path", ["moments/unet.up_blocks.7.safetensors", "previews/x.png"])
def test_submit_of_a_hostile_package_sends_nothing(ask, center, package, path):
    (package / path).write_bytes(tiny_png()[1:])
    relist(package)
    outcome = ask("submit", package)
    assert outcome.code == REFUSED
    assert path in outcome.err
    assert center.received == []
