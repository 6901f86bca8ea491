from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from callers import ADA
from center_steps import fuse, request
from dashboard_steps import log_in
from mos_center.domain.access import LOCAL, Role, Visibility
from mos_center.domain.models import Submission
from mos_center.service.center import Center
from mos_center.service.fusion_requests import FusionRequest, WantedConcept
from mos_protocol.errors import JobFailed
from mos_protocol.part_weights import PartWeights

AS_PART = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def concepts(center: Center, submit: Callable[..., Submission]) -> None:
    submit(concept="ada/potter", words=("<potter>",))
    submit(concept="bob/cat", words=("<cat>",))
    center.concepts.show("bob", "cat", Visibility.PUBLIC, caller=LOCAL)


async def test_an_empty_list_says_how_it_gets_filled(browser: httpx.AsyncClient) -> None:
    page = await browser.get("/dashboard/fusions")

    assert "No fusion yet." in page.text
    assert 'href="/dashboard/fusions/new"' in page.text
    assert "hx-trigger" not in page.text


async def test_rows_say_what_became_of_each_fusion(
    browser: httpx.AsyncClient, center: Center, running: Any
) -> None:
    fuse(center, running.data, "done", ["ada/potter@1"])
    failed = request(center, "lost", ["bob/cat@1"])
    running.data.ledger().failed(failed.id, JobFailed("The worker ran out of memory."))
    weights = PartWeights(spatial=0.5)
    wanted = FusionRequest("waits", "small", [WantedConcept("bob/cat", weights=weights)])
    center.fusions.request(wanted, caller=LOCAL)
    runs = request(center, "runs", ["ada/potter@1", "bob/cat@1"])
    running.data.ledger().started(runs.id)
    running.data.ledger().progress(runs.id, 1, 4, "fuse unet.mid_block")

    page = await browser.get("/dashboard/fusions")

    assert 'href="/dashboard/models/done/1"' in page.text
    assert "The worker ran out of memory." in page.text
    assert "Place 1 in the queue" in page.text
    assert "× text_encoder=1,cross_kv=1,spatial=0.5" in page.text
    assert "Step 2 of 4: fuse unet.mid_block; about" in page.text


async def test_the_rows_alone_are_asked_for_again_until_all_is_done(
    browser: httpx.AsyncClient, center: Center
) -> None:
    fusion = request(center, "waits", ["bob/cat@1"])
    address = "/dashboard/fusions?q=wait"
    page = await browser.get(address)
    assert f'hx-get="{address}" hx-trigger="every 4s"' in page.text

    center.fusions.cancel(fusion.id, LOCAL)
    rows = await browser.get(address, headers=AS_PART)

    assert rows.text.startswith('<div id="rows">')
    assert "cancelled" in rows.text
    assert "<html" not in rows.text


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["two", "one"]),
        ("q=ON", ["one"]),
        ("state=queued", ["two"]),
        ("state=none", []),
        ("base=small&requested_by=ada", ["one"]),
        ("concept=bob/cat", ["two"]),
    ],
)
async def test_filters_are_in_the_address_and_in_the_form(
    browser: httpx.AsyncClient, center: Center, running: Any, query: str, expected: list[str]
) -> None:
    fuse(center, running.data, "one", ["ada/potter@1"], ADA)
    request(center, "two", ["bob/cat@1"])

    page = await browser.get(f"/dashboard/fusions?{query}")

    assert re.findall(r'id="fusion-\w+" href="[^"]+">(\w+)<', page.text) == expected
    if query == "q=ON":
        assert 'name="q" value="ON"' in page.text
    assert ("No fusion fits." in page.text) == (not expected)


async def test_a_long_list_goes_on_with_the_next_page(
    browser: httpx.AsyncClient, center: Center
) -> None:
    for number in range(27):
        request(center, f"model-{number}", ["bob/cat@1"])

    first = await browser.get("/dashboard/fusions?q=model")
    following = re.search(r'href="([^"]+)" rel="next"', first.text)
    assert following is not None
    second = await browser.get(following[1].replace("&amp;", "&"))

    assert "q=model" in following[1]
    assert len(re.findall(r'id="fusion-', first.text)) == 25
    assert re.findall(r'">(model-\d+)</a>', second.text) == ["model-1", "model-0"]


async def test_many_concepts_are_counted_instead_of_listed(
    browser: httpx.AsyncClient, center: Center, submit: Callable[..., Submission]
) -> None:
    for number in range(11):
        submit(concept=f"kim/c{number}", words=(f"<c{number}>",))
    request(center, "many", [f"kim/c{number}@1" for number in range(11)])

    page = await browser.get("/dashboard/fusions")

    assert len(re.findall('class="chip"', page.text)) == 8
    assert "+3 more" in page.text


async def test_a_member_sees_what_it_may_read(
    browser: httpx.AsyncClient, center: Center, running: Any
) -> None:
    fuse(center, running.data, "secret", ["ada/potter@1"])
    fuse(center, running.data, "open", ["bob/cat@1"])
    await log_in(browser, center, "bob", Role.MEMBER)

    page = await browser.get("/dashboard/fusions")

    assert ">open<" in page.text
    assert "secret" not in page.text
