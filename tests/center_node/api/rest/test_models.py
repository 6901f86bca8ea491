from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from center_steps import publish, publish_as
from mos_center.domain.models import Submission
from mos_center.service.center import Center
from mos_center.service.fusion_requests import FusionRequest, WantedConcept
from reports import small_report

WEIGHTS = bytes(range(256)) * 5000
FILES = {"README.md": b"# demo", "unet/model.safetensors": WEIGHTS}
URL = "/v1/models/demo/1/files/unet/model.safetensors"


@pytest.fixture(autouse=True)
def demo(running: Any, center: Center, submit: Callable[..., Submission]) -> None:
    """The model demo, version 1."""
    submit()
    publish(center, running.data, "demo", 1, FILES)


async def test_models_and_versions_are_shown_with_files_and_aliases(running: Any) -> None:
    moved = await running.http.put("/v1/models/demo/aliases/champion", json={"version": 1})
    version = (await running.http.get("/v1/models/demo/1")).json()
    model = (await running.http.get("/v1/models/demo")).json()
    listed = (await running.http.get("/v1/models")).json()

    assert moved.json() == version
    assert listed == {"items": [version], "next_cursor": None}
    assert model == {
        "name": "demo",
        "owner": "local",
        "aliases": {"champion": 1, "latest": 1},
        "versions": [version],
    }
    assert version["concepts"] == [
        {
            "name": "ada/potter",
            "version": 1,
            "weight": 1.0,
            "words": ["<potter1>", "<potter2>"],
            "trigger": "<potter1> <potter2>",
        }
    ]
    assert [file["path"] for file in version["files"]] == ["README.md", "unet/model.safetensors"]
    for alias in ("champion", "latest"):
        assert (await running.http.get(f"/v1/models/demo/{alias}")).json() == version


async def test_a_file_is_sent_whole_and_cacheable_for_ever(running: Any) -> None:
    response = await running.http.get(URL)

    digest = hashlib.sha256(WEIGHTS).hexdigest()
    assert response.content == WEIGHTS
    assert response.headers["etag"] == f'"{digest}"'
    assert "immutable" in response.headers["cache-control"]
    unchanged = await running.http.get(URL, headers={"If-None-Match": f'"{digest}"'})
    assert (unchanged.status_code, unchanged.content) == (304, b"")


async def test_a_file_behind_an_alias_is_checked_again_each_time(running: Any) -> None:
    response = await running.http.get("/v1/models/demo/latest/files/README.md")

    assert response.headers["cache-control"] == "private, no-cache"


@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [("bytes=1000-", 1000, None), ("bytes=10-19", 10, 20), ("bytes=-7", -7, None)],
)
async def test_a_range_goes_on_where_a_download_stopped(
    running: Any, wanted: str, start: int, end: int | None
) -> None:
    response = await running.http.get(URL, headers={"Range": wanted})

    assert response.status_code == 206
    assert response.content == WEIGHTS[start:end]


@pytest.mark.parametrize(
    ("wanted", "status"), [(f"bytes={len(WEIGHTS)}-", 416), ("bytes=x-y", 400)]
)
async def test_a_range_that_the_file_lacks_is_a_problem(
    running: Any, wanted: str, status: int
) -> None:
    response = await running.http.get(URL, headers={"Range": wanted})

    assert (response.status_code, response.json()["status"]) == (status, status)
    assert response.headers["content-type"] == "application/problem+json"
    assert (response.headers.get("content-range") == f"bytes */{len(WEIGHTS)}") == (status == 416)


async def test_paths_that_climb_out_are_not_found(running: Any) -> None:
    for path in ("..%2F..%2F..%2Fcenter.db", "%2e%2e/center.db", "/etc/passwd"):
        response = await running.http.get(f"/v1/models/demo/1/files/{path}")
        assert response.status_code == 404, path


async def test_a_report_is_answered_as_it_was_published(running: Any, center: Center) -> None:
    report = small_report({"ada/potter@1": 0.75})
    wanted = FusionRequest("told", "small", [WantedConcept("ada/potter")])
    publish_as(center, running.data, wanted, FILES, report)

    answer = await running.http.get("/v1/models/told/latest/report")

    assert answer.json() == report
    assert (await running.http.get("/v1/models/demo/1/report")).json() == {}
    assert (await running.http.get("/v1/models/told/2/report")).status_code == 404
