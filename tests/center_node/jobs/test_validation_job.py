"""Packages that an API process could not validate: a worker does."""

from __future__ import annotations

from pathlib import Path

import pytest
from center_steps import contents, send_files, submit_folder
from mos_center.domain.access import LOCAL
from mos_center.domain.errors import LeftToWorkers
from mos_center.domain.jobs import Job
from mos_center.domain.states import SubmissionState
from mos_center.jobs.validation_job import ValidationJob
from mos_center.opening import OpenedData
from mos_center.service.center import Center, assemble


class NoEngine:
    """The reducer of a process without torch, which takes all moments for activations."""

    def reduce(self, path: Path, out: Path) -> bool:
        raise LeftToWorkers("Not here.")


def at_once(name: str, work):
    """Steps that are not kept."""
    return work()


@pytest.fixture
def center(data: OpenedData, queue) -> Center:
    return data.center(queue)


@pytest.fixture
def replica(data: OpenedData, queue) -> Center:
    return assemble(data.database, data.blobs, queue, NoEngine())


@pytest.fixture
def left(replica: Center, package: Path) -> str:
    """A submission that the replica left to the workers."""
    return submit_folder(replica, package).id


@pytest.fixture
def job(center: Center) -> ValidationJob:
    return ValidationJob(center.validation, patience=0)


def state(center: Center, submission_id: str) -> SubmissionState:
    return center.submissions.get(submission_id, caller=LOCAL).state


def test_a_replica_without_an_engine_leaves_a_package_to_the_workers(replica, left, queue):
    assert state(replica, left) is SubmissionState.VALIDATING
    assert queue.enqueued == [f"validate:{left}"]


def test_a_worker_ends_what_was_left(center, left, job):
    assert job.unfinished() == [Job(f"validate:{left}")]

    job.run(left, at_once)

    assert state(center, left) is SubmissionState.APPROVED
    assert job.unfinished() == []


def test_a_validation_that_somebody_may_be_at_is_left_alone_for_a_while(center, left):
    assert ValidationJob(center.validation, patience=600).unfinished() == []


def test_a_package_that_ends_its_workers_is_refused(center, left, job):
    assert job.lost(left, killed=True) is False

    refused = center.submissions.get(left, caller=LOCAL)
    assert refused.state is SubmissionState.REJECTED
    assert "ended its worker each time" in refused.reason


def test_a_validation_that_ended_without_a_result_is_run_again(center, left, job):
    assert job.lost(left, killed=False) is True
    assert state(center, left) is SubmissionState.VALIDATING


def test_a_package_whose_files_have_not_come_is_left_as_it_is(center, package, job):
    submission = send_files(center, package)
    with center.blobs.local_path(next(iter(contents(package).values()))) as path:
        path.unlink()

    job.run(submission.id, at_once)

    assert state(center, submission.id) is SubmissionState.UPLOADING
