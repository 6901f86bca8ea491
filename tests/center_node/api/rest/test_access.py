"""Who gets in: every route is closed without a token, but for health."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from mos_center.api.rest.about import CenterInfo
from mos_center.api.rest.app import create_app
from mos_center.api.rest.gate import PUBLIC_PATHS
from mos_center.service.center import Center
from starlette.routing import Route


def routes(center: Center, running: Any) -> Iterator[Route]:
    """Every route of the application, those of included routers too."""
    info = CenterInfo(version="", grpc="", worker=False)
    for item in create_app(center, info, running.stopping).routes:
        included = getattr(item, "original_router", None)
        yield from included.routes if included else [item]


async def test_every_route_but_health_needs_a_token_once_one_exists(
    running: Any, center: Center
) -> None:
    token = center.tokens.create("ada")
    found = [
        (method, route.path)
        for route in routes(center, running)
        for method in sorted(route.methods or ())
    ]
    assert len(found) > 20
    for method, path in found:
        for headers in ({}, {"Authorization": "Bearer mos_guess"}, {"Authorization": token}):
            response = await running.http.request(method, path, headers=headers)
            expected = 200 if path in PUBLIC_PATHS else 401
            assert response.status_code == expected, (method, path, headers)


async def test_a_malformed_body_without_a_token_is_still_unauthorized(
    running: Any, center: Center
) -> None:
    center.tokens.create("ada")

    response = await running.http.post("/v1/fusions", content=b"{no json")

    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == "unauthenticated"


async def test_a_token_that_is_created_while_serving_takes_effect_at_once(
    running: Any, center: Center
) -> None:
    assert (await running.http.get("/v1/bases")).status_code == 200
    token = center.tokens.create("ada")
    assert (await running.http.get("/v1/bases")).status_code == 401
    headers = {"Authorization": f"Bearer {token}"}
    assert (await running.http.get("/v1/bases", headers=headers)).status_code == 200
    center.tokens.revoke("ada")
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


async def test_every_route_is_described_as_needing_a_token(center: Center, running: Any) -> None:
    described = (await running.http.get("/openapi.json")).json()["paths"]
    found = [route for route in routes(center, running) if isinstance(route, APIRoute)]
    assert len(found) > 20
    for route in found:
        for method in route.methods if route.include_in_schema else ():
            operation = described[route.path_format][method.lower()]
            assert ("security" in operation) == (route.path not in PUBLIC_PATHS), route.path
