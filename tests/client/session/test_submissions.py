"""Where uploads go, and what the upload service's words become."""

from __future__ import annotations

import pytest
from mos_client.session.results import Submission, SubmissionState
from mos_client.session.submissions import grpc_target, submission_of
from mos_protocol.errors import MosError
from mos_protocol.wire.v1 import submissions_pb2 as pb


@pytest.mark.parametrize(
    ("told", "center", "target"),
    [
        ("10.0.0.5:9000", "http://center:8000", "10.0.0.5:9000"),
        ("0.0.0.0:9000", "http://center:8000", "center:9000"),
        ("[::]:9000", "https://center.example", "center.example:9000"),
        (":9000", "http://[::1]:8000", "[::1]:9000"),
    ],
)
def test_an_address_without_a_host_is_on_the_centers_own(told, center, target):
    assert grpc_target(told, center) == target


@pytest.mark.parametrize("state", list(SubmissionState))
def test_every_state_of_the_contract_is_understood(state):
    number = pb.SubmissionState.Value(f"SUBMISSION_STATE_{state.name}")
    status = pb.SubmissionStatus(submission_id="s", state=number, concept="ada/ball")
    assert submission_of(status) == Submission(id="s", state=state, concept="ada/ball")


@pytest.mark.parametrize("number", [0, 99])
def test_a_state_from_the_future_is_told(number):
    with pytest.raises(MosError, match="Update"):
        submission_of(pb.SubmissionStatus(state=number))


def test_every_state_of_the_wire_has_its_value():
    names = {name.removeprefix("SUBMISSION_STATE_") for name in pb.SubmissionState.keys()}  # noqa: SIM118
    assert names - {"UNSPECIFIED"} == {state.name for state in SubmissionState}
