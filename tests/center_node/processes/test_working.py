"""A worker's device and name, from the settings."""

from __future__ import annotations

import socket

import pytest
from mos_center.processes.working import choose_device, executor_name, remote_queue
from mos_center.settings import Settings, load_settings
from mos_protocol.errors import InvalidRequest

VISIBLE = "CUDA_VISIBLE_DEVICES"


@pytest.mark.parametrize(
    ("device", "before", "after"),
    [
        ("cpu", {}, {VISIBLE: ""}),
        ("cuda:1", {}, {VISIBLE: "1"}),
        ("cuda:1", {VISIBLE: "4,6"}, {VISIBLE: "6"}),
        ("cuda", {VISIBLE: "4,6"}, {VISIBLE: "4,6"}),
        ("", {}, {}),
    ],
)
def test_a_worker_sees_the_gpu_that_was_named_and_no_other(device, before, after):
    environment = dict(before)

    choose_device(device, environment)

    assert environment == after


def test_a_gpu_beyond_those_that_are_shown_is_refused():
    with pytest.raises(InvalidRequest, match="no GPU 2"):
        choose_device("cuda:2", {VISIBLE: "4,6"})


def test_a_worker_is_named_after_its_host_and_device_unless_it_is_told():
    host = socket.gethostname()

    assert executor_name(Settings(device="cuda:1")) == f"{host}-cuda-1"
    assert executor_name(Settings(executor="left-gpu", device="cpu")) == "left-gpu"


def test_a_name_that_could_leave_the_work_folder_is_refused():
    with pytest.raises(InvalidRequest, match="MOS_EXECUTOR"):
        load_settings({}, executor="../elsewhere")


def test_jobs_live_beside_the_center_unless_told_otherwise(tmp_path):
    postgres = "postgresql+psycopg://mos@db/hub"

    assert Settings(data=tmp_path).jobs == f"sqlite:///{tmp_path}/jobs.db"
    assert Settings(database_url=postgres).jobs == postgres
    assert Settings(jobs_url=postgres, data=tmp_path).jobs == postgres


def test_on_sqlite_the_worker_finds_jobs_by_itself(tmp_path):
    with remote_queue(Settings(data=tmp_path)) as queue:
        assert queue is None
