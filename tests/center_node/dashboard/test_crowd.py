"""Every page of a center that many have used for long stays small, and asks little."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from crowd import ADMIN, CURATOR, MEMBER, Crowd, fill_crowd
from crowd.addresses import addresses
from mos_center.api.rest.about import CenterInfo
from mos_center.dashboard.rights import PAGE_RIGHTS
from mos_center.opening import OpenedData, opened
from mos_center.processes.listening import application
from mos_center.settings import Settings
from pydantic import SecretStr
from servers import PostgresServer
from sqlalchemy import Engine, event

LARGEST_PAGE = 200_000
# Whatever the length of the list: with a statement for every row there would be 20 more.
MOST_STATEMENTS = 30
PAGES = [template for method, template in PAGE_RIGHTS if method == "GET"]
# They never end, or are the same for everybody.
NO_PAGES = {
    "/overview/events",
    "/fusions/{fusion_id}/events",
    "/compositions/{composition_id}/events",
    "/models/{name}/{revision}/evaluations/events",
    "/static/{name}",
}
# Other people's are told like what is not there.
PRIVATE = ("/compositions/{composition_id}",)
INFO = CenterInfo(version="", grpc="", worker=False)


@pytest.fixture(scope="module")
def crowd_on_postgres(
    postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Settings, Crowd]:
    url = SecretStr(postgres.url(postgres.new_database()))
    settings = Settings(data=tmp_path_factory.mktemp("crowd"), database_url=url, worker=False)
    with opened(settings) as data:
        return settings, fill_crowd(data.database, data.blobs)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest) -> Iterator[tuple[OpenedData, Any, Crowd]]:
    """The crowd's center on each database, with its application."""
    name = "crowded" if request.param == "sqlite" else "crowd_on_postgres"
    settings, crowd = request.getfixturevalue(name)
    with opened(settings) as data:
        yield data, application(data.center(), INFO, settings, asyncio.Event()), crowd


@contextmanager
def counted(engine: Engine) -> Iterator[list[str]]:
    """The statements that are sent meanwhile."""
    sent: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if not statement.startswith("BEGIN"):
            sent.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)


def test_every_page_has_addresses_to_be_tried(crowded: tuple[Settings, Crowd]) -> None:
    tried = addresses(crowded[1])
    assert tried.keys() == set(PAGES) - NO_PAGES
    assert all(tried.values())


@pytest.mark.parametrize("member", [ADMIN, CURATOR, MEMBER])
async def test_every_page_is_small_and_asks_a_bounded_number_of_questions(
    place: tuple[OpenedData, Any, Crowd], member: str
) -> None:
    data, app, crowd = place
    transport = httpx.ASGITransport(app)
    wrong = []
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as browser:
        await browser.post("/dashboard/login", data={"token": crowd.token_of(member)})
        for template, paths in addresses(crowd).items():
            for path in paths:
                with counted(data.database.engine) as statements:
                    page = await browser.get(f"/dashboard{path}", follow_redirects=True)
                is_picture = page.headers["content-type"].startswith("image/")
                told = (page.status_code, len(page.content), len(statements))
                refused = page.status_code == 403 and member != ADMIN
                hidden = page.status_code == 404 and member == CURATOR
                refused |= hidden and template.startswith(PRIVATE)
                small = is_picture or len(page.content) < LARGEST_PAGE
                asks_little = len(statements) <= MOST_STATEMENTS
                if not ((page.status_code == 200 or refused) and small and asks_little):
                    wrong.append((template, path, told))
    assert not wrong, "\n".join(map(str, wrong))
