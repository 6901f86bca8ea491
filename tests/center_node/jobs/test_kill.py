"""A worker that is killed with SIGKILL: another one goes on and publishes once, the same bytes."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import center_folder
import pytest


def kill_at(center, moment: str) -> None:
    """Run a worker in a process of its own, and kill it when it has come to the moment."""
    process = subprocess.Popen([sys.executable, center_folder.__file__, center.folder, moment])
    hanging = Path(center.folder / "hanging")
    try:
        deadline = time.monotonic() + 240
        while not hanging.exists() and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.05)
        assert hanging.exists()
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("moment", ["fuse unet.mid_block", "storing the model", "published"])
def test_a_killed_fusion_goes_on_and_is_published_once_with_the_same_bytes(
    center, undisturbed, moment
):
    kill_at(center, moment)
    killed = center.ledger.read("first")
    assert (center.work / "first").is_dir()

    known = center.run("first")

    assert known["state"] == "published"
    assert {file["path"]: file["sha256"] for file in known["files"]} == undisturbed
    assert center.publications() == ["first"]
    before = [message for _, _, message in killed["progress"]]
    after = [message for _, _, message in known["progress"]][len(before) :]
    repeated = [message for message in after if message in before]
    assert [message for message in repeated if message.startswith("fusing")] == (
        [moment] if moment.startswith("fusing") else []
    )
