"""The queue as callers see it: places, time left, and starting a failed fusion over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from mos_center.domain.models import Submission
from mos_protocol.errors import JobFailed


@pytest.fixture(autouse=True)
def potter(submit: Callable[..., Submission]) -> Submission:
    return submit()


async def requested(running: Any, model: str, priority: str = "normal") -> dict:
    body = {
        "model": model,
        "base": "small",
        "concepts": [{"name": "ada/potter"}],
        "priority": priority,
    }
    answer = await running.http.post("/v1/fusions", json=body)
    assert answer.status_code == 202
    return answer.json()


async def test_a_waiting_fusion_shows_its_place(running: Any) -> None:
    slow = await requested(running, "slow", "low")
    urgent = await requested(running, "urgent", "high")

    listed = (await running.http.get("/v1/fusions")).json()["items"]

    assert {item["model"]: item["queue_position"] for item in listed} == {"slow": 2, "urgent": 1}
    assert (slow["seconds_left"], urgent["priority"]) == (None, "high")


async def test_a_running_fusion_shows_the_time_left_and_no_place(running: Any) -> None:
    fusion = await requested(running, "demo")
    ledger = running.data.ledger()
    ledger.begin(fusion["id"])
    ledger.started(fusion["id"])
    ledger.progress(fusion["id"], 1, 2, "fuse unet.mid_block")

    shown = (await running.http.get(f"/v1/fusions/{fusion['id']}")).json()

    assert shown["seconds_left"] is not None
    assert (shown["queue_position"], shown["attempts"]) == (None, 1)


async def test_a_failed_fusion_is_queued_again(running: Any) -> None:
    fusion = await requested(running, "demo")
    running.data.ledger().failed(fusion["id"], JobFailed("It failed."))

    answer = await running.http.post(f"/v1/fusions/{fusion['id']}/retry")

    assert answer.status_code == 202
    assert (answer.json()["state"], answer.json()["error"]) == ("queued", None)
    assert answer.json()["queue_position"] == 1
    assert running.queue.enqueued[-1] == f"{fusion['id']}.1"


async def test_a_fusion_that_did_not_fail_is_not_queued_again(running: Any) -> None:
    fusion = await requested(running, "demo")
    running.data.ledger().started(fusion["id"])

    answer = await running.http.post(f"/v1/fusions/{fusion['id']}/retry")

    assert answer.status_code == 409
