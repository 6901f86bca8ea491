"""`mos-center worker` as a process: there is one of each name, and it ends when it is told to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = [str(Path(sys.executable).with_name("mos-center")), "worker"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "MOS_DATA": str(tmp_path / "data"), "MOS_DEVICE": "cpu"}


def test_a_worker_is_the_only_one_of_its_name_and_ends_on_sigterm(environment):
    worker = subprocess.Popen(COMMAND, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert worker.stdout is not None
        said = worker.stdout.readline()
        second = subprocess.run(
            COMMAND, env=environment, capture_output=True, text=True, check=False
        )
        worker.terminate()
        ended = worker.wait(60)
    finally:
        worker.kill()
        worker.wait()

    assert said.strip() == "worker worker-0"
    assert second.returncode == 4
    assert "Another worker works on" in second.stderr
    assert ended == 0


def test_a_gpu_that_is_not_there_is_told_of(environment):
    environment["CUDA_VISIBLE_DEVICES"] = "0"
    done = subprocess.run(
        [*COMMAND, "--gpu", "7"], env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert "There is no GPU 7" in done.stderr
