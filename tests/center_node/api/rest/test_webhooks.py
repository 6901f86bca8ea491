from __future__ import annotations

from typing import Any

import pytest
from mos_center.domain.access import LOCAL, Role
from mos_center.service.center import Center

BODY = {"url": "https://hub.example/hook", "events": ["model.published", "concept.approved"]}


async def test_a_webhook_shows_its_secret_once_and_is_listed_without_it(running: Any) -> None:
    made = await running.http.post("/v1/webhooks", json=BODY)
    listed = (await running.http.get("/v1/webhooks")).json()["items"]

    webhook = made.json()
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    assert webhook.pop("secret").startswith("whsec_")
    assert listed == [webhook]
    assert webhook["events"] == ["concept.approved", "model.published"]


async def test_a_test_delivers_a_ping_that_the_deliveries_show(running: Any) -> None:
    webhook = (await running.http.post("/v1/webhooks", json=BODY)).json()
    url = f"/v1/webhooks/{webhook['id']}"

    pings = [(await running.http.post(f"{url}/test")) for _ in range(3)]
    first = (await running.http.get(f"{url}/deliveries?limit=2")).json()
    cursor = {"cursor": first["next_cursor"], "limit": 2}
    rest = (await running.http.get(f"{url}/deliveries", params=cursor)).json()

    assert {ping.status_code for ping in pings} == {202}
    shown = [*first["items"], *rest["items"]]
    assert sorted(one["event"] for one in shown) == sorted(ping.json()["event"] for ping in pings)
    assert {(one["kind"], one["state"], one["attempts"]) for one in shown} == {
        ("ping", "pending", 0)
    }
    assert rest["next_cursor"] is None


async def test_a_removed_webhook_is_not_there_any_more(running: Any) -> None:
    webhook = (await running.http.post("/v1/webhooks", json=BODY)).json()
    url = f"/v1/webhooks/{webhook['id']}"

    assert (await running.http.delete(url)).status_code == 204

    for method, path in (("DELETE", url), ("POST", f"{url}/test"), ("GET", f"{url}/deliveries")):
        assert (await running.http.request(method, path)).status_code == 404
    assert (await running.http.get("/v1/webhooks")).json()["items"] == []


@pytest.mark.parametrize(
    "change",
    [
        {"url": "http://169.254.169.254/"},
        {"url": "http://10.0.0.1/"},
        {"url": "file:///etc/passwd"},
        {"url": ""},
        {"events": []},
        {"events": ["everything"]},
        {"secret": "mine"},
    ],
)
async def test_a_webhook_that_must_not_be_is_refused(running: Any, change: dict) -> None:
    refused = await running.http.post("/v1/webhooks", json={**BODY, **change})

    assert refused.status_code == 422
    assert (await running.http.get("/v1/webhooks")).json()["items"] == []


@pytest.mark.parametrize("role", [Role.MEMBER, Role.CURATOR])
async def test_only_admins_have_webhooks(running: Any, center: Center, role: Role) -> None:
    webhook = (await running.http.post("/v1/webhooks", json=BODY)).json()
    center.members.add("eve", role, caller=LOCAL)
    token, _ = center.tokens.create("eve", "default", caller=LOCAL)
    headers = {"Authorization": f"Bearer {token}"}
    url = f"/v1/webhooks/{webhook['id']}"

    for method, path in (
        ("GET", "/v1/webhooks"),
        ("POST", "/v1/webhooks"),
        ("DELETE", url),
        ("GET", f"{url}/deliveries"),
        ("POST", f"{url}/test"),
    ):
        refused = await running.http.request(method, path, json=BODY, headers=headers)
        assert refused.status_code == 403, (method, path)
