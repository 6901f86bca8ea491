"""Who gets in over HTTP; which right each route needs is in `test_rights`."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from mos_center.api.rights import ROUTE_RIGHTS
from mos_center.domain.access import LOCAL, Role
from mos_center.domain.rights import Needs
from mos_center.service.center import Center


@pytest.fixture
def token(center: Center) -> str:
    """A token of ada, who is an admin."""
    center.members.add("ada", Role.ADMIN, caller=LOCAL)
    return center.tokens.create("ada", "laptop", caller=LOCAL)[0]


async def test_a_malformed_body_without_a_token_is_still_unauthorized(
    running: Any, token: str
) -> None:
    response = await running.http.post("/v1/fusions", content=b"{no json")

    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == "unauthenticated"


async def test_a_token_without_its_scheme_is_none(running: Any, token: str) -> None:
    for value in (token, f"Basic {token}", "Bearer"):
        response = await running.http.get("/v1/bases", headers={"Authorization": value})
        assert response.status_code == 401, value


async def test_a_token_that_is_created_while_serving_takes_effect_at_once(
    running: Any, center: Center
) -> None:
    assert (await running.http.get("/v1/bases")).status_code == 200
    center.members.add("ada", caller=LOCAL)
    token, record = center.tokens.create("ada", "laptop", caller=LOCAL)
    assert (await running.http.get("/v1/bases")).status_code == 401
    headers = {"Authorization": f"Bearer {token}"}
    assert (await running.http.get("/v1/bases", headers=headers)).status_code == 200
    await asyncio.to_thread(center.tokens.revoke, record.id, caller=LOCAL)
    assert (await running.http.get("/v1/bases", headers=headers)).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
async def test_an_open_center_answers_no_web_page_from_elsewhere(
    running: Any, headers: dict[str, str]
) -> None:
    response = await running.http.get("/v1/bases", headers=headers)

    assert response.status_code == 403
    assert response.json()["code"] == "permission_denied"


async def test_health_says_that_a_stopping_center_is_not_ready(running: Any) -> None:
    async with httpx.AsyncClient(base_url=running.addresses.rest) as anonymous:
        assert (await anonymous.get("/readyz")).json() == {"status": "ready"}
        running.stopping.set()
        assert (await anonymous.get("/readyz")).status_code == 503
        assert (await anonymous.get("/healthz")).status_code == 200


async def test_every_guarded_route_is_described_as_needing_a_token(running: Any) -> None:
    described = (await running.http.get("/openapi.json")).json()["paths"]
    found = {
        (method.upper(), path): "security" in operation
        for path, operations in described.items()
        for method, operation in operations.items()
    }

    guarded = {
        (method, path.replace(":path}", "}"))
        for (method, path), right in ROUTE_RIGHTS.items()
        if isinstance(right, Needs)
    }
    assert len(found) > 60
    assert {call for call, needs_token in found.items() if needs_token} == guarded & found.keys()
    assert guarded - found.keys() == {("GET", "/openapi.json")}
