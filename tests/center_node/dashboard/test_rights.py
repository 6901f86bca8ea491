"""Who may open which page, and which forms are believed: a walk over the table of rights."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from mos_center.api.rest.about import CenterInfo
from mos_center.dashboard.app import create_dashboard
from mos_center.dashboard.rights import PAGE_RIGHTS
from mos_center.domain.access import Role
from mos_center.domain.rights import Needs
from mos_center.opening import OpenedData
from mos_center.processes.listening import application
from rights_world import World
from starlette.routing import Route

GUARDED = [(page, right) for page, right in PAGE_RIGHTS.items() if isinstance(right, Needs)]
FORMS = [template for (method, template), _ in GUARDED if method == "POST"]
INFO = CenterInfo(version="", grpc="", worker=False)


@pytest.fixture
def data(world: World, tmp_path: Path) -> Iterator[OpenedData]:
    found = world.copy(tmp_path / "data")
    yield found
    found.database.close()


@asynccontextmanager
async def visiting(data: OpenedData, token: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """A browser without a screen, logged in with the token."""
    app = application(data.center(), INFO, data.settings, asyncio.Event())
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as browser:
        if token is not None:
            answer = await browser.post("/dashboard/login", data={"token": token})
            assert answer.status_code == 303
        yield browser


def dummy(template: str) -> str:
    """The address of a page that the template matches."""
    return "/dashboard" + re.sub(r"\{[^}]*\}", "1", template)


async def csrf_of(browser: httpx.AsyncClient) -> str:
    """The secret of the browser's session."""
    page = await browser.get("/dashboard/tokens")
    return re.search(r'name="csrf" value="([0-9a-f]{64})"', page.text)[1]


def test_the_table_lists_exactly_the_pages_that_there_are(data: OpenedData) -> None:
    app = create_dashboard(data.center(), data.settings, asyncio.Event())
    found = [
        (method, route.path)
        for item in app.routes
        for route in getattr(getattr(item, "original_router", None), "routes", [item])
        if isinstance(route, Route)
        for method in route.methods or ()
        if method != "HEAD"
    ]

    assert sorted(found) == sorted(PAGE_RIGHTS)


async def test_without_a_session_every_page_leads_to_the_login(
    data: OpenedData, world: World
) -> None:
    async with visiting(data) as browser:
        for (method, template), _ in GUARDED:
            answer = await browser.request(method, dummy(template))
            assert answer.status_code == 303, (method, template)
            assert answer.headers["location"].startswith("/dashboard/login"), (method, template)
            part = await browser.request(method, dummy(template), headers={"HX-Request": "true"})
            assert part.headers["hx-redirect"].startswith("/dashboard/login"), (method, template)


async def test_a_session_ends_with_its_token(data: OpenedData, world: World) -> None:
    async with visiting(data, world.tokens["ada"]) as browser:
        assert (await browser.get("/dashboard/concepts")).status_code == 200
        center = data.center()
        record = data.center().tokens.authenticate(world.tokens["ada"])
        center.tokens.revoke(record.token_id or "", caller=record)
        answer = await browser.get("/dashboard/concepts?q=cat")
    assert answer.headers["location"] == "/dashboard/login?then=%2Fdashboard%2Fconcepts%3Fq%3Dcat"


async def test_a_session_whose_token_lacks_the_scope_is_refused_by_every_page(
    data: OpenedData, world: World
) -> None:
    for scope in {right.scope for _, right in GUARDED if right.scope is not None}:
        async with visiting(data, world.tokens[f"without {scope}"]) as browser:
            for (method, template), right in GUARDED:
                if right.scope is scope:
                    answer = await browser.request(method, dummy(template))
                    assert answer.status_code == 403, (method, template)
                    assert scope in answer.text, (method, template)


async def test_a_member_without_the_role_is_refused_by_every_page(
    data: OpenedData, world: World
) -> None:
    for caller, role in (("bob", Role.MEMBER), ("rita", Role.CURATOR)):
        async with visiting(data, world.tokens[caller]) as browser:
            for (method, template), right in GUARDED:
                if not role.covers(right.role):
                    answer = await browser.request(method, dummy(template))
                    assert answer.status_code == 403, (method, template, caller)


async def test_no_page_shows_its_reader_a_way_to_pages_that_are_refused(
    data: OpenedData, world: World
) -> None:
    for caller, wanted in (("bob", 0), ("rita", 0), ("root", 3)):
        async with visiting(data, world.tokens[caller]) as browser:
            page = await browser.get("/dashboard/")
        places = re.findall(r'href="/dashboard/(members|audit|system)"', page.text)
        assert len(set(places)) == wanted, caller


async def test_a_forged_form_is_refused_by_every_page_that_takes_one(
    data: OpenedData, world: World
) -> None:
    async with (
        visiting(data, world.tokens["root"]) as browser,
        visiting(data, world.tokens["root"]) as other,
    ):
        own, foreign = await csrf_of(browser), await csrf_of(other)
        before = data.center().audit.entries(caller=_root(data, world), after=0, limit=1000)
        evil = {"Origin": "https://evil.example"}
        assert own != foreign
        assert len(FORMS) > 15
        for template in FORMS:
            sent = [
                await browser.post(dummy(template)),
                await browser.post(dummy(template), data={"csrf": "0" * 64}),
                await browser.post(dummy(template), data={"csrf": foreign}),
                await browser.post(dummy(template), data={"csrf": own}, headers=evil),
                await browser.post(f"{dummy(template)}?csrf={own}"),
            ]
            assert [answer.status_code for answer in sent] == [403] * 5, template
            assert all("not sent from a page of this center" in one.text for one in sent), template
    after = data.center().audit.entries(caller=_root(data, world), after=0, limit=1000)
    assert len(after) == len(before)


async def test_a_form_from_another_site_does_not_even_log_in(
    data: OpenedData, world: World
) -> None:
    async with visiting(data) as browser:
        answer = await browser.post(
            "/dashboard/login",
            data={"token": world.tokens["ada"]},
            headers={"Origin": "https://evil.example"},
        )
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def _root(data: OpenedData, world: World):
    return data.center().tokens.authenticate(world.tokens["root"])
