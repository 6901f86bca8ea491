"""Durable jobs on SQLite: tried again, given up, forgotten, and those of earlier versions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from dbos import DBOSClient, DBOSPortableJSONSerializer
from many_workers import until
from mos_center.domain.jobs import AUDIT, VALIDATION, Job, other_job
from mos_center.domain.models import Priority
from mos_center.jobs.durable import EXECUTOR, DurableJobs, DurableQueue, JobState, Steps
from mos_center.jobs.patience import Interrupted, Patience
from mos_protocol.errors import InvalidRequest, MosError, Unavailable


@pytest.fixture
def url(used_jobs: Path, tmp_path: Path) -> str:
    (tmp_path / "jobs.db").write_bytes(used_jobs.read_bytes())
    return f"sqlite:///{tmp_path / 'jobs.db'}"


@pytest.fixture
def run_jobs(url: str) -> Iterator[Callable[..., DurableJobs]]:
    """Starts jobs with the given body."""
    started: list[DurableJobs] = []

    def start(run: Callable[[str, Steps], None]) -> DurableJobs:
        jobs = DurableJobs(url, run, patience=Patience([0, 0]))
        jobs.start()
        started.append(jobs)
        return jobs

    yield start
    for jobs in started:
        jobs.stop()


def state(jobs: DurableJobs, job_id: str) -> JobState:
    return jobs.states([job_id])[job_id]


def ended(jobs: DurableJobs, job_id: str) -> None:
    until(lambda: state(jobs, job_id) is JobState.ENDED)


@pytest.mark.parametrize(
    ("error", "calls"), [(Unavailable("The store is away."), 3), (InvalidRequest("No."), 1)]
)
def test_a_step_is_tried_again_only_when_something_was_away(run_jobs, error, calls):
    seen: list[str] = []
    told: list[MosError] = []

    def work() -> None:
        seen.append("call")
        raise error

    def run(job_id: str, step: Steps) -> None:
        try:
            step("only", work)
        except MosError as raised:
            told.append(raised)

    jobs = run_jobs(run)
    jobs.enqueue(Job("one"))
    ended(jobs, "one")

    assert len(seen) == calls
    assert [(type(one), one.message) for one in told] == [(type(error), error.message)]


def test_jobs_of_higher_priority_go_first(run_jobs):
    order: list[str] = []
    go = threading.Event()

    def run(job_id: str, step: Steps) -> None:
        if job_id == "first":
            assert go.wait(60)
        order.append(job_id)

    jobs = run_jobs(run)
    jobs.enqueue(Job("first"))
    until(lambda: jobs.active() == {"first"})
    for name, priority in [("low", "low"), ("a", "normal"), ("high", "high"), ("b", "normal")]:
        jobs.enqueue(Job(name, Priority(priority)))
    go.set()
    ended(jobs, "low")

    assert order == ["first", "high", "a", "b", "low"]


def test_a_validation_does_not_wait_for_fusions(run_jobs):
    go = threading.Event()
    name = other_job(VALIDATION, "package")
    jobs = run_jobs(lambda job_id, step: None if job_id == name else go.wait(60))
    jobs.enqueue(Job("fusion"))
    until(lambda: "fusion" in jobs.active())

    jobs.enqueue(Job(name))
    ended(jobs, name)
    go.set()


def test_a_job_that_ends_its_worker_again_and_again_is_dead(run_jobs):
    begun: list[str] = []

    def run(job_id: str, step: Steps) -> None:
        begun.append(job_id)
        raise Interrupted

    name = other_job(AUDIT, "one")
    jobs = run_jobs(run)
    jobs.enqueue(Job(name))
    for number in range(1, 4):
        until(lambda number=number: len(begun) == number and not jobs.active())
        jobs.recover(EXECUTOR)

    until(lambda: state(jobs, name) is JobState.DEAD)
    assert begun == [name] * 3


def test_jobs_that_ended_are_forgotten_after_a_while(run_jobs):
    ran: list[str] = []
    jobs = run_jobs(lambda job_id, step: ran.append(job_id))
    jobs.enqueue(Job("one"))
    ended(jobs, "one")

    assert jobs.prune(timedelta(days=1)) == 0
    assert jobs.prune(timedelta(0)) == 1
    assert state(jobs, "one") is JobState.ABSENT
    jobs.enqueue(Job("one"))
    ended(jobs, "one")
    assert ran == ["one", "one"]


def test_a_job_of_the_first_release_is_taken_up(url, run_jobs):
    client = DBOSClient(
        system_database_url=url,
        serializer=DBOSPortableJSONSerializer(),
        application_name="mos-center",
    )
    client.enqueue(
        {
            "queue_name": "fusions",
            "workflow_name": "fuse",
            "workflow_id": "old",
            "app_version": "fusion-jobs/1",
        },
        "old",
    )
    client.destroy()
    ran: list[str] = []

    jobs = run_jobs(lambda job_id, step: ran.append(job_id))
    jobs.enqueue(Job("old"))
    ended(jobs, "old")

    assert ran == ["old"]


def test_a_process_without_jobs_enqueues_once_however_often_it_does(url, run_jobs):
    ran: list[str] = []
    queue = DurableQueue(url)
    queue.enqueue(Job("one"))
    queue.enqueue(Job("one", Priority.LOW))
    jobs = run_jobs(lambda job_id, step: ran.append(job_id))

    ended(jobs, "one")
    queue.enqueue(Job("one"))
    queue.close()

    assert ran == ["one"]
