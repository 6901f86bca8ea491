from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from center_steps import store
from mos_center.domain.models import Submission
from mos_protocol.layer_map import Part

BODY = {
    "model": "demo",
    "base": "small",
    "concepts": [{"name": "ada/potter", "version": 1, "weight": 1.0}],
    "fuse_method": "gradient",
    "solver": "closed-form",
    "prior_weight": 0.0,
    "ridge": {"text_encoder": 0.001, "cross_kv": 0.001, "spatial": 0.001},
    "lbfgs_steps": None,
    "refine_rounds": 0,
    "exports": [],
    "previews": None,
}
CHOSEN = {
    **BODY,
    "concepts": [
        {
            "name": "ada/potter",
            "version": 1,
            "weight": {"text_encoder": 0.5, "cross_kv": 1.0, "spatial": 0.0},
        }
    ],
    "solver": "lbfgs",
    "ridge": {"text_encoder": 0.0, "cross_kv": 0.1, "spatial": 2.0},
    "lbfgs_steps": {"text_encoder": 10, "cross_kv": 20, "spatial": 30},
    "refine_rounds": 3,
    "exports": ["diffusers-lora", "kohya-lora", "single-file"],
    "previews": True,
}


@pytest.fixture(autouse=True)
def potter(submit: Callable[..., Submission]) -> Submission:
    return submit()


@pytest.mark.parametrize("body", [BODY, CHOSEN], ids=["plain", "chosen"])
async def test_a_new_fusion_is_accepted_and_a_known_build_is_shown(
    running: Any, body: dict
) -> None:
    first = await running.http.post("/v1/fusions", json=body)
    second = await running.http.post("/v1/fusions", json=body)

    assert (first.status_code, second.status_code) == (202, 200)
    assert first.json() == second.json()
    assert first.json() | {"created_at": "", "id": "", "build": ""} == {
        **body,
        "id": "",
        "created_at": "",
        "build": "",
        "state": "queued",
        "priority": "normal",
        "requested_by": "local",
        "attempts": 0,
        "queue_position": 1,
        "seconds_left": None,
        "progress": {"done": 0, "total": 0, "message": ""},
        "error": None,
        "model_version": None,
        "started_at": None,
        "finished_at": None,
    }


async def test_a_request_that_leaves_everything_out_is_the_one_that_spells_it_out(
    running: Any,
) -> None:
    short = {"model": "demo", "base": "small", "concepts": [{"name": "ada/potter"}]}

    first = await running.http.post("/v1/fusions", json=short)
    spelled_out = await running.http.post("/v1/fusions", json=BODY)

    assert (first.status_code, spelled_out.status_code) == (202, 200)
    assert first.json() == spelled_out.json()


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"concepts": [{"name": "ada/potter", "weight": {"unet": 1}}]}, "weight.parts.unet"),
        ({"concepts": [{"name": "ada/potter", "weight": {"spatial": -1}}]}, "parts.spatial"),
        ({"concepts": [{"name": "ada/potter", "weight": {"spatial": 1e9}}]}, "parts.spatial"),
        ({"concepts": [{"name": "ada/potter", "weight": {"spatial": "x"}}]}, "parts.spatial"),
        ({"concepts": [{"name": "ada/potter", "weight": 0}]}, "weight.number"),
        ({"concepts": [{"name": "ada/potter", "weight": []}]}, "weight.number"),
        (
            {"concepts": [{"name": "ada/potter", "weight": dict.fromkeys(Part, 0)}]},
            "weight of ada/potter is 0",
        ),
        ({"solver": "magic"}, "solver"),
        ({"fuse_method": "magic"}, "fuse_method"),
        ({"fuse_method": "none", "solver": "sum"}, "sum belongs to the fuse method weight-average"),
        ({"ridge": {"unet": 1}}, "ridge.unet"),
        ({"lbfgs_steps": {"spatial": 0}}, "lbfgs_steps.spatial"),
        ({"lbfgs_steps": {"spatial": 10**9}}, "lbfgs_steps.spatial"),
        ({"lbfgs_steps": {"spatial": 1.5}}, "lbfgs_steps.spatial"),
        ({"refine_rounds": 9}, "refine_rounds"),
        ({"refine_rounds": -1}, "refine_rounds"),
        ({"exports": ["onnx"]}, "exports.0"),
        ({"exports": ["kohya-lora"] * 9}, "exports"),
        ({"exports": "kohya-lora"}, "exports"),
        ({"previews": "auto"}, "previews"),
    ],
)
async def test_a_choice_that_does_not_exist_is_refused_by_its_place(
    running: Any, change: dict, where: str
) -> None:
    response = await running.http.post("/v1/fusions", json={**BODY, **change})

    assert response.status_code == 422
    assert where in response.json()["detail"]
    assert (await running.http.get("/v1/fusions")).json()["items"] == []


@pytest.mark.parametrize(
    ("fuse_method", "solver"),
    [("gradient", "closed-form"), ("weight-average", "average"), ("none", "none")],
)
async def test_a_fuse_method_is_its_usual_solver(
    running: Any, fuse_method: str, solver: str
) -> None:
    plain = {"model": "demo", "base": "small", "concepts": [{"name": "ada/potter"}]}

    by_method = await running.http.post("/v1/fusions", json={**plain, "fuse_method": fuse_method})
    by_solver = await running.http.post("/v1/fusions", json={**plain, "solver": solver})

    assert (by_method.status_code, by_solver.status_code) == (202, 200)
    assert by_method.json() == by_solver.json()
    assert (by_solver.json()["fuse_method"], by_solver.json()["solver"]) == (fuse_method, solver)


async def test_fusions_are_listed_by_state_and_cancelled(running: Any) -> None:
    fusion = (await running.http.post("/v1/fusions", json=BODY)).json()

    cancelled = await running.http.post(f"/v1/fusions/{fusion['id']}/cancel")
    queued = (await running.http.get("/v1/fusions?state=queued")).json()
    everything = (await running.http.get("/v1/fusions")).json()

    assert cancelled.json()["state"] == "cancelled"
    assert queued["items"] == []
    assert everything["items"] == [cancelled.json()]


async def test_events_tell_every_change_until_the_fusion_is_final(running: Any) -> None:
    fusion = (await running.http.post("/v1/fusions", json=BODY)).json()
    ledger = running.data.ledger()
    seen: list[dict] = []

    async with running.http.stream("GET", f"/v1/fusions/{fusion['id']}/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        async for line in response.aiter_lines():
            if not line.startswith("data: "):
                continue
            seen.append(json.loads(line.removeprefix("data: ")))
            if seen[-1]["state"] == "queued":
                await asyncio.to_thread(ledger.started, fusion["id"])
                await asyncio.to_thread(ledger.progress, fusion["id"], 1, 3, "text_encoder")
            elif seen[-1]["progress"]["done"] == 1:
                files = [store(running.data, "README.md", b"# demo")]
                await asyncio.to_thread(ledger.publish, fusion["id"], files, {})

    assert seen[0]["state"] == "queued"
    assert seen[-1]["state"] == "published"
    assert seen[-1]["model_version"] == 1
    assert any(item["progress"]["message"] == "text_encoder" for item in seen)


async def test_events_end_when_the_center_stops(running: Any) -> None:
    fusion = (await running.http.post("/v1/fusions", json=BODY)).json()

    async with running.http.stream("GET", f"/v1/fusions/{fusion['id']}/events") as response:
        lines = []
        async for line in response.aiter_lines():
            lines.append(line)
            running.stopping.set()

    assert sum(line.startswith("data: ") for line in lines) == 1


async def test_fusions_are_listed_by_model_base_requester_and_concept(running: Any) -> None:
    await running.http.post("/v1/fusions", json=BODY)

    async def listed(**query: str) -> list[str]:
        answer = await running.http.get("/v1/fusions", params=query)
        return [item["model"] for item in answer.json()["items"]]

    fitting = {"q": "DEM", "base": "small", "requested_by": "local", "concept": "ada/potter"}
    assert await listed(**fitting) == ["demo"]
    for name in fitting:
        assert await listed(**{**fitting, name: "other"}) == [], name
