"""The page of a fusion's job: live while it goes on, and complete when it has ended."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx
import pytest
from callers import ADA, BOB
from center_steps import request, store
from dashboard_steps import MARKUP, csrf, log_in, send
from mos_center.domain.access import LOCAL, Role, Visibility
from mos_center.domain.fusion_events import PlannedStep
from mos_center.domain.jobs import fusion_job
from mos_center.domain.models import Fusion, Submission
from mos_center.domain.states import FusionState
from mos_center.service.center import Center
from mos_center.service.fusion_ledger import FusionLedgerService
from mos_protocol.errors import JobFailed

BLOCKS = ("text_encoder", "unet.mid_block")


def finding(block: str, **kept: float) -> dict[str, object]:
    return {
        "block": block,
        "residual": {"base": 1.0, "average": 0.6, "result": 0.125},
        "kept": {f"{name.replace('_', '/')}@1": share for name, share in kept.items()},
    }


def begin(
    ledger: FusionLedgerService, fusion: Fusion, blocks: Sequence[str] = BLOCKS, attempt: int = 1
) -> None:
    """Have a worker begin, and tell what is to come."""
    assert ledger.begin(fusion_job(fusion.id, fusion.generation), executor="worker-7") is not None
    ledger.started(fusion.id)
    steps = [PlannedStep(f"fuse {block}", block) for block in blocks]
    ledger.planned(fusion.id, [*steps, PlannedStep("storing the model")], attempt=attempt)


def do(
    ledger: FusionLedgerService, fusion: Fusion, step: str, found: Mapping[str, object] | None
) -> None:
    ledger.progress(fusion.id, 0, 3, step, attempt=1)
    ledger.step_done(fusion.id, step, 4.25, found, attempt=1)


@pytest.fixture
def ledger(running: Any) -> FusionLedgerService:
    found: FusionLedgerService = running.data.ledger()
    return found


@pytest.fixture
def fusion(center: Center, submit: Callable[..., Submission]) -> Fusion:
    submit(concept="ada/potter", words=("<potter>",))
    submit(concept="bob/cat", words=("<cat>",))
    center.concepts.show("bob", "cat", Visibility.PUBLIC, caller=LOCAL)
    return request(center, "demo", ["ada/potter@1", "bob/cat@1"], ADA)


def steps(page: str) -> list[tuple[str, str]]:
    """Each step's state and name."""
    return re.findall(r'<tr class="(\w+)"><th scope="row"><span[^>]+></span>([^<]+)<', page)


async def test_a_waiting_job_says_its_place_and_can_be_cancelled(
    browser: httpx.AsyncClient, center: Center, fusion: Fusion
) -> None:
    page = await browser.get(f"/dashboard/fusions/{fusion.id}")
    assert "Place 1 in the queue" in page.text
    assert "Block by block" in page.text
    assert "requested by ada" in page.text

    done = await send(browser, page, f"/fusions/{fusion.id}/cancel")

    assert "The fusion of demo is cancelled." in done.text
    assert "Nothing was published." in done.text
    assert center.fusions.get(fusion.id, caller=LOCAL).state is FusionState.CANCELLED


async def test_steps_and_shares_appear_as_blocks_are_fused(
    browser: httpx.AsyncClient, ledger: FusionLedgerService, fusion: Fusion
) -> None:
    begin(ledger, fusion)
    do(ledger, fusion, "fuse text_encoder", finding("text_encoder", ada_potter=0.93, bob_cat=0.41))
    ledger.progress(fusion.id, 1, 3, "fuse unet.mid_block", attempt=1)

    page = (await browser.get(f"/dashboard/fusions/{fusion.id}")).text

    assert steps(page) == [
        ("done", "fuse text_encoder"),
        ("running", "fuse unet.mid_block"),
        ("waiting", "storing the model"),
    ]
    assert "60.0 % → 12.5 %" in page
    assert '<td class="heat-9">93 %</td><td class="pending">' in page
    assert "fuse text_encoder: done in 4.2 s, error 60.0 % → 12.5 %" in page
    assert "attempt 1 begins on worker worker-7" in page
    assert f'sse-connect="/dashboard/fusions/{fusion.id}/events" sse-close="end"' in page


async def test_a_published_job_leads_to_its_version_and_is_not_followed(
    browser: httpx.AsyncClient, running: Any, ledger: FusionLedgerService, fusion: Fusion
) -> None:
    begin(ledger, fusion)
    do(ledger, fusion, "fuse text_encoder", finding("text_encoder", ada_potter=-0.2, bob_cat=1.0))
    ledger.publish(fusion.id, [store(running.data, "README.md", b"# demo")], {}, attempt=1)

    page = (await browser.get(f"/dashboard/fusions/{fusion.id}")).text

    assert 'href="/dashboard/models/demo/1">Look at demo@1' in page
    assert '<td class="heat-0">-20 %</td>' in page
    assert {state for state, _ in steps(page)} == {"done"}
    assert "sse-connect" not in page
    assert "/cancel" not in page


async def test_a_failed_job_says_why_and_what_to_do_and_starts_anew(
    browser: httpx.AsyncClient, center: Center, ledger: FusionLedgerService, fusion: Fusion
) -> None:
    begin(ledger, fusion)
    do(ledger, fusion, "fuse text_encoder", finding("text_encoder", ada_potter=0.9))
    ledger.progress(fusion.id, 1, 3, "fuse unet.mid_block", attempt=1)
    ledger.failed(fusion.id, JobFailed(MARKUP, hint="Give it more memory."), attempt=1)
    page = await browser.get(f"/dashboard/fusions/{fusion.id}")
    assert ("stopped", "fuse unet.mid_block") in steps(page.text)
    assert "&lt;script&gt;" in page.text
    assert MARKUP not in page.text
    assert "Give it more memory." in page.text

    again = await send(browser, page, f"/fusions/{fusion.id}/retry")

    assert "in the queue again" in again.text
    assert center.fusions.get(fusion.id, caller=LOCAL).state is FusionState.QUEUED
    # What an earlier start found is told in the log alone.
    assert steps(again.text) == []
    assert "heat-9" not in again.text
    assert "retried by local" in again.text


async def test_what_was_sampled_in_vain_is_said_at_its_step(
    browser: httpx.AsyncClient, ledger: FusionLedgerService, fusion: Fusion
) -> None:
    begin(ledger, fusion)
    do(ledger, fusion, "storing the model", {"unsampled": "Out of memory."})

    page = (await browser.get(f"/dashboard/fusions/{fusion.id}")).text

    assert "not sampled: Out of memory." in page


async def test_rounds_of_refinement_record_in_one_row(
    browser: httpx.AsyncClient, ledger: FusionLedgerService, fusion: Fusion
) -> None:
    ledger.begin(fusion_job(fusion.id, 0))
    ledger.started(fusion.id)
    records = [PlannedStep(f"refine 1: record {item.ref}") for item in fusion.concepts]
    last = PlannedStep("refine 1: fuse text_encoder", "text_encoder")
    ledger.planned(
        fusion.id, [PlannedStep("fuse text_encoder", "text_encoder"), *records, last], attempt=1
    )
    do(ledger, fusion, "fuse text_encoder", finding("text_encoder", ada_potter=0.5))
    do(ledger, fusion, records[0].name, None)
    half = (await browser.get(f"/dashboard/fusions/{fusion.id}")).text
    do(ledger, fusion, records[1].name, None)
    do(ledger, fusion, last.name, finding("text_encoder", ada_potter=0.8))

    page = (await browser.get(f"/dashboard/fusions/{fusion.id}")).text

    assert ("running", "refine 1: record every concept") in steps(half)
    assert "1 of 2" in half
    assert ("done", "refine 1: record every concept") in steps(page)
    assert page.count('scope="col">text_encoder') == 1
    assert '<td class="heat-8">80 %</td>' in page


async def test_of_many_concepts_those_that_keep_least_are_shown(
    browser: httpx.AsyncClient,
    center: Center,
    submit: Callable[..., Submission],
    ledger: FusionLedgerService,
) -> None:
    for number in range(43):
        submit(concept=f"kim/c{number}", words=(f"<c{number}>",))
    fusion = request(center, "many", [f"kim/c{number}@1" for number in range(43)])
    begin(ledger, fusion)
    shares = {f"kim_c{number}": 1 - number / 100 for number in range(43)}
    do(ledger, fusion, "fuse text_encoder", finding("text_encoder", **shares))

    page = (await browser.get(f"/dashboard/fusions/{fusion.id}")).text

    rows = re.findall(r'<tr><th scope="row">(kim/c\d+)@1', page)
    assert rows == [f"kim/c{number}" for number in range(42, 2, -1)]
    assert "Shown are the 40 concepts that keep least so far; 3 more" in page


async def test_events_bring_the_parts_that_changed_until_the_end(
    browser: httpx.AsyncClient, running: Any, ledger: FusionLedgerService, fusion: Fusion
) -> None:
    seen: list[str] = []
    text = ""
    async with browser.stream("GET", f"/dashboard/fusions/{fusion.id}/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        async for line in response.aiter_lines():
            text += f"{line}\n"
            if not line.startswith("event: "):
                continue
            seen.append(line.removeprefix("event: "))
            if len(seen) == 4:
                await asyncio.to_thread(begin, ledger, fusion)
                files = [store(running.data, "README.md", b"# demo")]
                await asyncio.to_thread(ledger.publish, fusion.id, files, {}, attempt=1)

    assert seen[:4] == ["state", "kept", "steps", "log"]
    assert set(seen[4:-1]) >= {"state", "log"}
    assert seen[-1] == "end"
    assert "data: <strong>Published as" in text
    assert not re.search(r"^(?!event: |data: |: |$)", text, re.MULTILINE)


async def test_a_job_that_may_not_be_read_is_not_there(
    browser: httpx.AsyncClient, center: Center, fusion: Fusion
) -> None:
    await log_in(browser, center, "bob", Role.MEMBER)

    for path in ("", "/events"):
        page = await browser.get(f"/dashboard/fusions/{fusion.id}{path}")
        assert page.status_code == 404
        assert "There is no fusion" in page.text


async def test_who_did_not_ask_for_it_sees_no_button_and_can_not_cancel(
    browser: httpx.AsyncClient, center: Center, fusion: Fusion
) -> None:
    own = request(center, "cats", ["bob/cat@1"], BOB)
    home = await log_in(browser, center, "kim", Role.MEMBER)

    page = await browser.get(f"/dashboard/fusions/{own.id}")
    refused = await send(browser, home, f"/fusions/{own.id}/cancel")

    assert page.status_code == 200
    assert "/cancel" not in page.text
    assert refused.status_code == 403
    assert "was requested by bob" in refused.text
    assert center.fusions.get(own.id, caller=LOCAL).state is FusionState.QUEUED


async def test_an_action_that_is_not_possible_says_why(
    browser: httpx.AsyncClient, center: Center
) -> None:
    page = await log_in(browser, center)

    missing = await browser.post("/dashboard/fusions/none/cancel", data={"csrf": csrf(page)})

    assert missing.status_code == 404
    assert "There is no fusion" in missing.text
