"""The system page: health, workers, queues, bases, and settings without secrets."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from center_steps import request
from dashboard_steps import log_in
from mos_center.dashboard.operations.settings_in_force import HIDDEN, settings_in_force
from mos_center.domain.access import Role
from mos_center.domain.models import BaseRecord, Submission
from mos_center.domain.workers import WorkerRecord
from mos_center.opening import OpenedData
from mos_center.service.center import Center
from mos_center.service.workers import WorkerLedgerService
from mos_center.settings import Settings
from pydantic import SecretStr

PART = {"HX-Request": "true"}
SECRET = "hunter2"


@pytest.fixture
async def admin(browser: httpx.AsyncClient, center: Center) -> httpx.AsyncClient:
    """A browser in which an admin is logged in."""
    await log_in(browser, center, "root", Role.ADMIN)
    return browser


def beat(data: OpenedData, name: str, seconds_ago: float = 0, **more: Any) -> None:
    seen = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    record = WorkerRecord(
        name, "gpu-a", 42, "NVIDIA A10", more.pop("version", "0.1.0"), "", seen, seen
    )
    fields = {**record.__dict__, **more}
    WorkerLedgerService(data.database).beat(WorkerRecord(**fields))


def worker(page: httpx.Response, name: str) -> str:
    """The text of a worker's row."""
    found = re.search(rf'<tr><th scope="row">{name}</th>.*?</tr>', page.text, re.S)
    assert found is not None, page.text
    return " ".join(re.sub(r"<[^>]+>", " ", found[0]).split())


async def test_database_and_store_tell_how_they_are(admin: httpx.AsyncClient) -> None:
    page = await admin.get("/dashboard/system")
    assert 'hx-get="/dashboard/system/health" hx-trigger="load"' in page.text

    part = await admin.get("/dashboard/system/health", headers=PART)
    whole = await admin.get("/dashboard/system/health")

    assert part.text.count("healthy") == 4
    assert re.search(r"revision \d{4}", part.text)
    assert "<html" not in part.text
    assert whole.text.count("healthy") == 4
    assert "<h1>Health</h1>" in whole.text


async def test_a_store_that_is_broken_breaks_no_page(
    admin: httpx.AsyncClient, running: Any
) -> None:
    blobs = running.data.blobs
    shutil.rmtree(blobs.root)
    blobs.root = blobs.root.parent / ("x" * 300)

    part = await admin.get("/dashboard/system/health", headers=PART)

    assert part.status_code == 200
    assert "File name too long" in part.text
    assert "Uploads, downloads and fusions fail until it answers" in part.text


async def test_workers_show_whether_they_live_and_what_they_do(
    admin: httpx.AsyncClient, running: Any, center: Center, submit: Callable[..., Submission]
) -> None:
    submit(concept="ada/potter")
    fusion = request(center, "demo", ["ada/potter@1"])
    beat(running.data, "busy", job=f"{fusion.id}.2")
    beat(running.data, "checking", job="validate:abc")
    beat(running.data, "idle", 5)
    beat(running.data, "lost", 300, job=fusion.id, version="0.0.9")
    beat(running.data, "off", 3, stopped_at=datetime.now(UTC))

    page = await admin.get("/dashboard/system")

    assert "busy alive a fusion NVIDIA A10 gpu-a process 42" in worker(page, "busy")
    assert f'href="/dashboard/fusions/{fusion.id}"' in page.text
    assert 'href="/dashboard/submissions/abc"' in page.text
    assert "idle alive waits for work" in worker(page, "idle")
    assert "lost gone nothing" in worker(page, "lost")
    assert "0.0.9 this center is" in worker(page, "lost")
    assert "off stopped nothing" in worker(page, "off")
    assert "no worker is alive" not in page.text.lower()


async def test_fusions_that_wait_for_no_worker_say_how_to_start_one(
    admin: httpx.AsyncClient, running: Any, center: Center, submit: Callable[..., Submission]
) -> None:
    nothing_waits = await admin.get("/dashboard/system")
    assert "No worker is alive" in nothing_waits.text
    assert 'role="alert"' not in nothing_waits.text
    submit(concept="ada/potter")
    request(center, "demo", ["ada/potter@1"])
    beat(running.data, "lost", 300)

    page = await admin.get("/dashboard/system")

    assert "1 fusion waits, and no worker is alive." in page.text
    assert "<code>mos-center worker</code>" in page.text
    assert "(1 normal)" in page.text
    assert ">queued 1</a>" in page.text
    assert ">approved 1</a>" in page.text


async def test_bases_are_listed_with_their_layers(
    admin: httpx.AsyncClient, base: BaseRecord
) -> None:
    page = await admin.get("/dashboard/system")

    assert f'title="{base.digest}"' in page.text
    assert f"<td>{len(list(base.layer_map.layers()))}</td>" in page.text
    assert "none: fusion can’t protect" in page.text


async def test_a_center_without_a_base_says_what_to_do(browser: httpx.AsyncClient) -> None:
    page = await browser.get("/dashboard/system")

    assert "mos-center base add NAME FOLDER" in page.text


async def test_settings_show_what_differs_and_what_it_means(
    admin: httpx.AsyncClient, running: Any
) -> None:
    page = await admin.get("/dashboard/system")

    assert '<tr class="chosen"><th scope="row"><code>MOS_DATA</code></th>' in page.text
    assert "Calls per minute that one member may make; 0: no limit" in page.text
    assert page.text.count("<code>MOS_") >= len(Settings.model_fields)


def test_no_secret_of_any_kind_shows() -> None:
    """Every setting that can hold one holds one here, also those that will be added."""
    values: dict[str, object] = {"data": Path("x")}
    for name, definition in Settings.model_fields.items():
        if "SecretStr" in str(definition.annotation):
            values[name] = SecretStr(f"postgresql://mos:{SECRET}@db/mos")
        elif name.endswith(("_endpoint", "_address")):
            values[name] = f"https://mos:{SECRET}@store.example"
        elif name.endswith("_access_key"):
            values[name] = SECRET
    assert len(values) > 5

    shown = settings_in_force(Settings(**values))

    assert SECRET not in str(shown)
    hidden = {one.name for one in shown if one.value == HIDDEN}
    assert hidden == {f"MOS_{name.upper()}" for name in values} - {"MOS_DATA"}
    assert all(one.is_hidden and not one.is_default for one in shown if one.name in hidden)


def test_settings_are_told_as_an_environment_holds_them() -> None:
    shown = {one.name: one for one in settings_in_force(Settings(data=Path("x"), worker=False))}

    assert shown["MOS_WORKER"].value == "false"
    assert (shown["MOS_REVIEW"].value, shown["MOS_REVIEW"].is_default) == ("automatic", True)
    assert (shown["MOS_DATA"].value, shown["MOS_DATA"].is_default) == ("x", False)
    assert (shown["MOS_S3_SECRET_KEY"].value, shown["MOS_S3_SECRET_KEY"].is_hidden) == ("", False)
    assert shown["MOS_DATABASE_URL"].is_default


async def test_only_admins_see_the_system(browser: httpx.AsyncClient, center: Center) -> None:
    await log_in(browser, center, "rita", Role.CURATOR)

    for path in ("/dashboard/system", "/dashboard/system/health"):
        assert (await browser.get(path)).status_code == 403
