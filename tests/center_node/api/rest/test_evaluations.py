"""Evaluations over REST."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from center_steps import publish, store
from mos_center.domain.models import StoredFile, Submission
from mos_center.opening import OpenedData
from mos_center.settings import Settings

PATH = "/v1/models/demo/1/evaluations"
RESULT = {"clip": {"name": "a/clip"}, "seeds": 2, "concepts": []}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"evaluation_clip": "a/clip"})


@pytest.fixture(autouse=True)
def demo(center: Any, data: OpenedData, submit: Callable[..., Submission]) -> None:
    submit()
    publish(center, data, "demo", 1, {"README.md": b"# demo"})


async def test_one_is_asked_for_followed_and_read(running: Any, data: OpenedData) -> None:
    asked = await running.http.post(PATH, json={"texts": ["a <TOK>"], "seeds": 3})
    one = f"/v1/evaluations/{asked.json()['id']}"
    ledger = data.evaluation_ledger()
    ledger.begin(asked.json()["id"])
    ledger.progress(asked.json()["id"], 3, 9, "sample the base")
    running_now = (await running.http.get(one)).json()
    picture = store(data, "grid.png", b"a picture")
    grids = {0: StoredFile(picture.sha256, picture.size)}
    ledger.done(asked.json()["id"], RESULT, grids)
    done = (await running.http.get(one)).json()
    listed = (await running.http.get(PATH)).json()["items"]
    grid = await running.http.get(f"{one}/grids/0")

    assert asked.status_code == 202
    assert (asked.json()["state"], asked.json()["texts"]) == ("queued", ["a <TOK>"])
    assert running_now["progress"] == {"done": 3, "total": 9, "message": "sample the base"}
    assert (done["state"], done["result"], done["grids"]) == ("done", RESULT, [0])
    assert [(item["id"], item["result"]) for item in listed] == [(done["id"], None)]
    assert (grid.content, grid.headers["content-type"]) == (b"a picture", "image/png")
    assert (await running.http.get(f"{one}/grids/1")).status_code == 404


async def test_the_same_is_made_once_by_key_and_by_content(running: Any) -> None:
    keyed = {"Idempotency-Key": "one"}
    first = await running.http.post(PATH, json={}, headers=keyed)
    repeated = await running.http.post(PATH, json={}, headers=keyed)
    again = await running.http.post(PATH, json={"seeds": 2})
    other = await running.http.post(PATH, json={"seeds": 4})

    assert [first.status_code, repeated.status_code, again.status_code] == [202, 202, 200]
    assert len({item.json()["id"] for item in (first, repeated, again)}) == 1
    assert other.status_code == 409


@pytest.mark.parametrize(
    "body",
    [
        {"seeds": 1},
        {"seeds": 51},
        {"texts": ["a cat"]},
        {"texts": ["<TOK>"] * 21},
        {"texts": ["<TOK>" + "x" * 300]},
        {"prompts": "Not A Set"},
        {"prompts": "pet", "texts": ["a <TOK>"]},
        {"unknown": 1},
    ],
)
async def test_a_wrong_request_is_refused(running: Any, body: dict[str, Any]) -> None:
    assert (await running.http.post(PATH, json=body)).status_code == 422


async def test_a_cancelled_one_is_final(running: Any) -> None:
    found = (await running.http.post(PATH, json={})).json()

    cancelled = await running.http.post(f"/v1/evaluations/{found['id']}/cancel")

    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    assert (await running.http.post(PATH, json={})).status_code == 202
