from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
from center_steps import fuse, request
from dashboard_steps import log_in
from mos_center.domain.access import LOCAL, Role
from mos_center.domain.models import Submission
from mos_center.service.center import Center
from mos_protocol.errors import JobFailed


async def test_a_curator_is_told_first_what_waits(
    browser: httpx.AsyncClient, center: Center, waiting: Submission
) -> None:
    page = await log_in(browser, center)

    assert "1 concept waits for your review" in page.text
    assert waiting.concept in page.text
    assert "/dashboard/concepts?state=pending_review" in page.text


async def test_a_member_sees_its_own_numbers(
    browser: httpx.AsyncClient, center: Center, waiting: Submission
) -> None:
    page = await log_in(browser, center, "ada", Role.MEMBER)
    other = await browser.get("/dashboard/members")

    assert "1 concept of yours waits for review" in page.text
    assert "stored for you" in page.text
    assert "stored for models" not in page.text
    assert "members active" not in page.text
    assert other.status_code == 403


async def test_what_runs_what_failed_and_what_was_published_is_shown(
    browser: httpx.AsyncClient, center: Center, submit: Callable[..., Submission], running: Any
) -> None:
    submit()
    fuse(center, running.data, "done", ["ada/potter@1"])
    failed = request(center, "broken", ["ada/potter@1"])
    running.data.ledger().started(failed.id)
    running.data.ledger().failed(failed.id, JobFailed("No memory.", hint="Buy some."))
    request(center, "waits", ["ada/potter@1"])

    page = await browser.get("/dashboard/")

    assert "/dashboard/models/done/1" in page.text
    assert "No memory." in page.text
    assert "Next: Buy some." in page.text
    assert "place 1 in the queue" in page.text


async def test_the_page_is_told_when_something_changes(
    browser: httpx.AsyncClient, center: Center, submit: Callable[..., Submission]
) -> None:
    submit()
    url = "/dashboard/overview/events"
    async with asyncio.timeout(20), browser.stream("GET", url) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = stream.aiter_lines()
        first = await _next_event(lines)
        request(center, "fresh", ["ada/potter@1"])
        second = await _next_event(lines)

    assert "No fusion runs or waits" in first
    assert "fresh" in second


async def test_a_stream_ends_with_the_session(browser: httpx.AsyncClient, center: Center) -> None:
    await log_in(browser, center)
    (token,) = center.tokens.all("rita", caller=LOCAL)
    url = "/dashboard/overview/events"
    async with asyncio.timeout(20), browser.stream("GET", url) as stream:
        lines = stream.aiter_lines()
        await _next_event(lines)
        center.tokens.revoke(token.id, caller=LOCAL)
        rest = [line async for line in lines]

    assert "event: end" in rest


async def _next_event(lines: Any) -> str:
    found = []
    async for line in lines:
        if not line and found:
            return "\n".join(found)
        if line and not line.startswith(":"):
            found.append(line)
    raise AssertionError("the stream ended")
