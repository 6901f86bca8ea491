"""Raw activations: reduced when the package is committed, and only then."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from center_steps import contents, send_files, stored, submit_folder
from concept_packages import MID_BLOCK, small_layer_map, write_package
from mos_center.domain.access import LOCAL
from mos_center.domain.models import BaseRecord
from mos_center.domain.policy import Policy, Review
from mos_center.domain.states import SubmissionState
from mos_center.opening import OpenedData
from mos_center.service.center import Center, WaitingQueue, assemble
from mos_center.service.fusion_requests import FusionRequest, WantedConcept
from mos_protocol.errors import Conflict, InvalidPackage, Unavailable
from mos_protocol.manifest import MANIFEST_FILE, sha256_of
from mos_protocol.moments import moments_path
from mos_protocol.names import Digest

TEXT_BLOCK = moments_path("text_encoder")
REDUCED = b"second moments"


@dataclass
class FakeReducer:
    """Takes the files named by `raw` for activations; `before` is called before each look."""

    raw: set[str] = field(default_factory=set)
    before: Callable[[Path], object] = lambda path: None

    def reduce(self, path: Path, out: Path) -> bool:
        self.before(path)
        if sha256_of(path) not in self.raw:
            return False
        out.write_bytes(REDUCED)
        return True


@pytest.fixture
def reducer(package: Path) -> FakeReducer:
    """Takes the package's UNet block for activations."""
    return FakeReducer({contents(package)[MID_BLOCK]})


@pytest.fixture
def center(data: OpenedData, reducer: FakeReducer, base: BaseRecord) -> Center:
    return assemble(data.database, data.blobs, WaitingQueue(), reducer)


@pytest.fixture
def base(data: OpenedData, tmp_path: Path) -> BaseRecord:
    """A registered base called small, without a prior."""
    return data.center().bases.add("small", tmp_path, small_layer_map(), {})


def test_activations_give_way_to_moments_and_the_manifest_stays(
    center: Center, data: OpenedData, package: Path
) -> None:
    sent = contents(package)

    submission = submit_folder(center, package)

    assert submission.state is SubmissionState.APPROVED
    assert submission.manifest.to_bytes() == (package / MANIFEST_FILE).read_bytes()
    assert _files(data, submission.id) == {**sent, MID_BLOCK: _digest(REDUCED)}
    assert stored(data) == set(_files(data, submission.id).values())


def test_a_worker_reads_the_reduced_file(center: Center, data: OpenedData, package: Path) -> None:
    submit_folder(center, package)
    request = FusionRequest("demo", "small", [WantedConcept("ada/potter")])
    fusion, _ = center.fusions.request(request, caller=LOCAL)

    (concept,) = data.ledger().plan(fusion.id).concepts

    assert concept.files[MID_BLOCK] == _digest(REDUCED)
    assert concept.files[TEXT_BLOCK] == contents(package)[TEXT_BLOCK]


def test_only_moments_files_are_looked_at(
    center: Center, reducer: FakeReducer, package: Path
) -> None:
    seen: list[str] = []
    reducer.before = lambda path: seen.append(sha256_of(path))

    submit_folder(center, package)

    assert set(seen) == {contents(package)[path] for path in (MID_BLOCK, TEXT_BLOCK)}


def test_committing_again_asks_for_nothing(center: Center, package: Path) -> None:
    committed = submit_folder(center, package)

    assert (
        center.submissions.offer((package / MANIFEST_FILE).read_bytes(), caller=LOCAL).missing == ()
    )
    assert center.validation.commit(committed.id, caller=LOCAL) == committed


def test_a_raw_file_that_another_package_waits_for_is_kept(
    center: Center, data: OpenedData, package: Path, tmp_path: Path
) -> None:
    twin = send_files(center, write_package(tmp_path / "twin", concept="eve/twin"))
    submit_folder(center, package)
    assert contents(package)[MID_BLOCK] in stored(data)

    assert center.validation.commit(twin.id, caller=LOCAL).state is SubmissionState.APPROVED

    assert contents(package)[MID_BLOCK] not in stored(data)
    assert _files(data, twin.id)[MID_BLOCK] == _digest(REDUCED)


def test_rejecting_a_reduced_package_leaves_nothing_and_it_can_come_again(
    data: OpenedData, reducer: FakeReducer, base: BaseRecord, package: Path
) -> None:
    center = assemble(data.database, data.blobs, WaitingQueue(), reducer, Policy(Review.MANUAL))
    submission = submit_folder(center, package)

    center.submissions.reject(submission.id, "no consent", LOCAL)
    assert stored(data) == set()

    assert submit_folder(center, package).state is SubmissionState.PENDING_REVIEW
    assert _files(data, submission.id)[MID_BLOCK] == _digest(REDUCED)


def test_activations_that_cannot_be_reduced_refuse_the_package(
    center: Center, data: OpenedData, reducer: FakeReducer, package: Path
) -> None:
    def refuse(path: Path) -> None:
        raise InvalidPackage(MID_BLOCK, "the moment has a value beyond 1e+08")

    reducer.before = refuse

    with pytest.raises(InvalidPackage, match="beyond"):
        submit_folder(center, package)

    assert stored(data) == set()


def test_a_commit_that_could_not_reduce_is_run_again(
    center: Center, data: OpenedData, reducer: FakeReducer, package: Path
) -> None:
    def fail(path: Path) -> None:
        raise Unavailable("No room is left.")

    reducer.before = fail
    submission = send_files(center, package)
    with pytest.raises(Unavailable):
        center.validation.commit(submission.id, caller=LOCAL)
    assert stored(data) == set(contents(package).values())

    reducer.before = lambda path: None

    assert center.validation.commit(submission.id, caller=LOCAL).state is SubmissionState.APPROVED


def test_of_two_commits_at_once_both_tell_the_same(
    center: Center, data: OpenedData, reducer: FakeReducer, package: Path
) -> None:
    """The second one begins and ends while the first one is reducing."""
    submission = send_files(center, package)
    reducer.raw = {contents(package)[path] for path in (MID_BLOCK, TEXT_BLOCK)}
    answers = []

    def overtake(path: Path) -> None:
        reducer.before = lambda path: None
        answers.append(center.validation.commit(submission.id, caller=LOCAL))

    reducer.before = overtake

    assert center.validation.commit(submission.id, caller=LOCAL) == answers[0]
    assert answers[0].version == 1
    assert _files(data, submission.id)[MID_BLOCK] == _digest(REDUCED)


def test_a_package_that_another_commit_accepted_is_not_refused_any_more(
    center: Center, reducer: FakeReducer, package: Path
) -> None:
    submission = send_files(center, package)

    def overtake(path: Path) -> None:
        reducer.before = lambda path: None
        center.validation.commit(submission.id, caller=LOCAL)
        raise InvalidPackage(MID_BLOCK, "missing")

    reducer.before = overtake

    assert center.validation.commit(submission.id, caller=LOCAL).state is SubmissionState.APPROVED


def test_a_file_that_vanishes_while_it_is_checked_is_asked_for_again(
    center: Center, data: OpenedData, reducer: FakeReducer, package: Path
) -> None:
    submission = send_files(center, package)
    reducer.before = lambda path: [data.blobs.delete(Digest(d)) for d in contents(package).values()]

    with pytest.raises(Conflict, match="have not arrived"):
        center.validation.commit(submission.id, caller=LOCAL)

    reducer.before = lambda path: None
    assert submit_folder(center, package).state is SubmissionState.APPROVED


def _files(data: OpenedData, submission_id: str) -> dict[str, str]:
    with data.database.read() as transaction:
        return dict(transaction.submissions.files(submission_id))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
