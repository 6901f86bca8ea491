"""Uploads: nothing before the check, nothing twice, nothing lost when the center goes away."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from fake_center import TOKEN
from mos_client import Backoff, Session, SubmissionState
from mos_client.session.upload import CHUNK
from mos_protocol.errors import InvalidPackage, Unauthenticated, Unavailable
from mos_protocol.layer_map import LayerMap
from mos_protocol.manifest import read_manifest
from mos_protocol.wire.v1 import submissions_pb2 as pb
from safetensors.numpy import load_file, save_file
from tiny_package import relist, tiny_layer_map, write_package


def test_a_package_arrives_and_is_approved(session, center, package):
    submission = session.submit(package)
    assert submission.state is SubmissionState.APPROVED
    assert submission.ref == "ada/ball@1"
    assert set(center.blobs) == {entry.sha256 for entry in read_manifest(package).files}


def test_a_finished_upload_sends_nothing_when_it_is_run_again(session, center, package):
    first = session.submit(package)
    sent = len(center.received)
    assert session.submit(package) == first
    assert len(center.received) == sent


def test_a_validation_that_a_worker_makes_is_waited_for(session, center, package):
    center.next_state = pb.SUBMISSION_STATE_VALIDATING
    center.later = [(pb.SUBMISSION_STATE_APPROVED, "")]

    assert session.submit(package).state is SubmissionState.APPROVED


def test_a_worker_that_refuses_the_package_says_why(session, center, package):
    center.next_state = pb.SUBMISSION_STATE_VALIDATING
    center.later = [(pb.SUBMISSION_STATE_REJECTED, "moments/x.safetensors: not finite")]

    with pytest.raises(InvalidPackage, match="not finite") as raised:
        session.submit(package)

    assert raised.value.file == "moments/x.safetensors"


def test_progress_counts_bytes_up_to_the_whole(session, package):
    seen = []
    session.submit(package, seen.append)
    total = sum(entry.size for entry in read_manifest(package).files)
    done = [progress.done for progress in seen]
    assert done == sorted(done)
    assert (done[0], done[-1], seen[-1].total) == (0, total, total)


def test_what_arrived_before_counts_as_done(session, center, package):
    entry = read_manifest(package).files[0]
    center.blobs[entry.sha256] = (package / entry.path).read_bytes()
    seen = []
    session.submit(package, seen.append)
    assert seen[0].done == entry.size
    assert entry.sha256 not in center.received


@pytest.mark.parametrize("cut", [0, 1, CHUNK])
def test_a_center_that_goes_away_is_waited_for(session, center, package, cut):
    center.cut_puts = [cut, cut, cut]
    assert session.submit(package).state is SubmissionState.APPROVED
    assert len(center.received) == len(set(center.received))


def test_at_most_one_file_is_sent_again_over_a_restart(center, tmp_path):
    layer_map = wide_layer_map()
    center.layer_map = layer_map
    write_package(tmp_path / "package", layer_map)
    starts: list[str] = []

    def restart_in_the_second_file(progress) -> None:
        if progress.path and (not starts or starts[-1] != progress.path):
            starts.append(progress.path)
            if len(starts) == 2:
                threading.Thread(target=center.restart, args=(0.3,)).start()

    with Session(center.url, TOKEN, backoff=Backoff(first=0.05)) as session:
        done = session.submit(tmp_path / "package", restart_in_the_second_file)
    assert done.state is SubmissionState.APPROVED
    assert len(center.received) - len(set(center.received)) <= 1
    assert len(starts) - len(set(starts)) <= 1


def wide_layer_map() -> LayerMap:
    """The tiny base with an input of 1500 features: a moments file of several chunks."""
    document = tiny_layer_map().model_dump(mode="json")
    for block in document["blocks"]:
        block["inputs"][0]["width"] = 1500
        for layer in block["layers"]:
            layer["d_in"] = 1500
    return LayerMap.model_validate(document)


def test_a_center_that_stays_away_ends_the_upload_with_what_to_do(center, package):
    center.cut_puts = [0] * 50
    with (
        Session(center.url, TOKEN, backoff=Backoff(attempts=3, first=0.01)) as session,
        pytest.raises(Unavailable) as caught,
    ):
        session.submit(package)
    assert "not sent again" in caught.value.hint


def test_a_file_that_vanishes_meanwhile_is_told_as_it_is(session, package):
    entry = read_manifest(package).files[-1]

    def remove_the_last_file(progress) -> None:
        (package / entry.path).unlink(missing_ok=True)

    with pytest.raises(FileNotFoundError):
        session.submit(package, remove_the_last_file)


def test_a_store_with_signed_addresses_gets_the_bytes_without_the_token(session, center, package):
    center.put_urls = True
    assert session.submit(package).state is SubmissionState.APPROVED
    assert {method for method, *_ in center.requests if method == "PUT"} == {"PUT"}
    assert set(center.blobs) == {entry.sha256 for entry in read_manifest(package).files}


def test_a_damaged_package_is_refused_before_a_byte_leaves(session, center, package):
    tensors = dict(load_file(package / "concept.safetensors"))
    name = next(iter(tensors))
    tensors[name] = np.full_like(tensors[name], np.nan)
    metadata = {"format": "mos-concept/1"}
    save_file(tensors, package / "concept.safetensors", metadata=metadata)
    relist(package)
    with pytest.raises(InvalidPackage, match="not finite"):
        session.submit(package)
    assert center.submissions == {}
    assert center.received == []


def test_a_package_for_another_base_is_refused_with_what_the_center_has(session, center, tmp_path):
    write_package(tmp_path / "other", tiny_layer_map(digest="1" * 64), base_name="sd15")
    with pytest.raises(InvalidPackage) as caught:
        session.submit(tmp_path / "other")
    assert "sd15" in caught.value.message
    assert "it has: tiny" in caught.value.message
    assert center.submissions == {}


def test_a_refusal_of_the_center_names_the_file_and_the_reason(session, center, package):
    center.refuse_commit = InvalidPackage("concept.safetensors", "norm is off", hint="Tune again.")
    with pytest.raises(InvalidPackage) as caught:
        session.submit(package)
    assert caught.value.file == "concept.safetensors"
    assert (caught.value.reason, caught.value.hint) == ("norm is off", "Tune again.")


def test_the_upload_service_wants_the_token_too(center, package):
    with Session(center.url, TOKEN) as good:
        target = good.center().grpc
    with (
        Session(center.url, "wrong", grpc_target=target) as bad,
        pytest.raises(Unauthenticated) as caught,
    ):
        next(bad.watch_submission("any"))
    assert caught.value.hint == "Ask for one."


def test_a_submission_is_watched_until_it_is_settled(session, package):
    submission = session.submit(package)
    assert session.submission(submission.id) == submission
    assert list(session.watch_submission(submission.id)) == [submission]
