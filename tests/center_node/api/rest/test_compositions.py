"""Compositions over REST: asking, wrong scenes, the answer to the same key, and pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from center_steps import fuse, store
from mos_center.domain.models import StoredFile, Submission
from mos_center.opening import OpenedData
from mos_center.service.center import Center

SCENE = {"prompt": "a <potter1> <potter2> on the beach", "size": [64, 64], "seeds": [7]}
BODY = {"model": "demo", "scene": SCENE}
KEY = {"Idempotency-Key": "one"}


@pytest.fixture(autouse=True)
def demo(center: Center, data: OpenedData, submit: Callable[..., Submission]) -> None:
    submit()
    fuse(center, data, "demo", ["ada/potter@1"])


async def test_a_scene_is_queued_and_found_again(running: Any) -> None:
    answer = await running.http.post("/v1/compositions", json=BODY)
    assert answer.status_code == 202
    queued = answer.json()
    assert (queued["model"], queued["version"], queued["state"]) == ("demo", 1, "queued")
    assert queued["scene"] == SCENE
    assert (queued["seeds"], queued["pictures"]) == ([7], [])

    listed = await running.http.get("/v1/compositions")
    assert listed.json() == {"items": [queued], "next_cursor": None}
    one = await running.http.get(f"/v1/compositions/{queued['id']}")
    assert one.json() == queued
    cancelled = await running.http.post(f"/v1/compositions/{queued['id']}/cancel")
    assert cancelled.json()["state"] == "cancelled"


async def test_the_same_key_asks_once(running: Any) -> None:
    first, again = [
        await running.http.post("/v1/compositions", json=BODY, headers=KEY) for _ in range(2)
    ]
    assert again.json() == first.json()
    assert len((await running.http.get("/v1/compositions")).json()["items"]) == 1


async def test_a_wrong_text_is_told_by_its_line(running: Any) -> None:
    text = json.dumps(SCENE | {"size": [64, 65]}, indent=1)
    answer = await running.http.post("/v1/compositions", json={"model": "demo", "scene_yaml": text})
    assert answer.status_code == 422
    (fault,) = answer.json()["fields"]["faults"]
    assert fault["line"] == 5
    assert "65" in fault["reason"]


async def test_a_wrong_object_is_told_by_its_field(running: Any) -> None:
    wrong = SCENE | {"regions": [{"id": "cat", "box": [0, 0, 700, 64], "prompt": "a cat"}]}
    answer = await running.http.post("/v1/compositions", json=BODY | {"scene": wrong})
    assert answer.status_code == 422
    assert "region `cat`" in answer.json()["detail"]


@pytest.mark.parametrize("body", [{"model": "demo"}, BODY | {"scene_yaml": "prompt: a cat"}])
async def test_one_scene_is_expected(running: Any, body: dict[str, Any]) -> None:
    answer = await running.http.post("/v1/compositions", json=body)
    assert answer.status_code == 422
    assert "One scene is expected" in answer.json()["detail"]


@pytest.mark.parametrize(("size", "status"), [(300 << 10, 422), (10_000_000, 413)])
async def test_a_huge_text_is_refused_before_it_is_read(
    running: Any, size: int, status: int
) -> None:
    body = {"model": "demo", "scene_yaml": "prompt: " + "a" * size}
    answer = await running.http.post("/v1/compositions", json=body)
    assert answer.status_code == status
    assert len(answer.text) < 5000


async def test_anchors_that_explode_are_refused(running: Any) -> None:
    lines = ["prompt: a cat", "size: [64, 64]", "a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]" for a, b in pairwise("abcdefgh")]
    body = {"model": "demo", "scene_yaml": "\n".join(lines)}
    answer = await running.http.post("/v1/compositions", json=body)
    assert answer.status_code == 422
    assert "line 3" in answer.json()["detail"]


async def test_a_picture_is_a_png_that_only_its_owner_keeps(running: Any, data: OpenedData) -> None:
    asked = (await running.http.post("/v1/compositions", json=BODY)).json()
    address = f"/v1/compositions/{asked['id']}/pictures/0"
    assert (await running.http.get(address)).status_code == 404
    ledger, file = data.composition_ledger(), store(data, "picture.png", b"pixels")
    ledger.begin(asked["id"])
    ledger.drawn(asked["id"], 0, StoredFile(file.sha256, file.size))
    ledger.done(asked["id"])

    answer = await running.http.get(address)

    assert answer.content == b"pixels"
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["cache-control"].startswith("private")
    assert (await running.http.get(f"/v1/compositions/{asked['id']}")).json()["pictures"] == [0]
