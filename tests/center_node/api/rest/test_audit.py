from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from mos_center.domain.access import LOCAL, Role
from mos_center.domain.models import Submission
from mos_center.service.center import Center
from mos_center.service.members import MemberChange


async def test_changes_are_listed_oldest_first_in_pages(
    running: Any, submit: Callable[..., Submission]
) -> None:
    submission = submit()

    seen: list[dict[str, Any]] = []
    after = 0
    while after is not None:
        params = {"after": after, "limit": 2}
        page = (await running.http.get("/v1/audit", params=params)).json()
        seen += page["items"]
        after = page["next_after"]

    assert [entry["seq"] for entry in seen] == list(range(1, len(seen) + 1))
    approved = next(entry for entry in seen if entry["action"] == "submission.approved")
    assert approved["resource"] == f"submission/{submission.id}"
    assert approved["before"] == {"state": "validating"}
    assert approved["after"]["state"] == "approved"
    assert [entry["previous"] for entry in seen[1:]] == [entry["hash"] for entry in seen[:-1]]


@pytest.mark.parametrize(
    ("role", "status"), [(Role.MEMBER, 403), (Role.CURATOR, 403), (Role.ADMIN, 200)]
)
async def test_only_admins_read_the_log(
    running: Any, center: Center, role: Role, status: int
) -> None:
    center.members.add("ada", role, caller=LOCAL)
    token, _ = center.tokens.create("ada", "default", caller=LOCAL)

    response = await running.http.get("/v1/audit", headers={"Authorization": f"Bearer {token}"})

    assert response.status_code == status


async def test_the_newest_changes_come_first_when_asked_filtered_and_in_pages(
    running: Any, center: Center
) -> None:
    for name in ("ada", "bob", "eve"):
        center.members.add(name, caller=LOCAL)
        center.tokens.create(name, "default", caller=LOCAL)
        center.tokens.create(name, "laptop", caller=LOCAL)
    center.members.change("eve", MemberChange(role=Role.ADMIN), caller=LOCAL)
    token, _ = center.tokens.create("eve", "last", caller=LOCAL)
    http = {"headers": {"Authorization": f"Bearer {token}"}}

    async def resources(**query: object) -> list[str]:
        found: list[str] = []
        asked: dict[str, object] = {"limit": 2, **query}
        while True:
            page = (await running.http.get("/v1/audit", params=asked, **http)).json()
            found += [entry["resource"] for entry in page["items"]]
            key = "before" if query.get("order") == "newest" else "after"
            if page[f"next_{key}"] is None:
                return found
            asked[key] = page[f"next_{key}"]

    newest = await resources(order="newest", actor="local", action="token.", resource="token/e")
    assert newest == ["token/eve/last", "token/eve/laptop", "token/eve/default"]
    assert await resources(action="token.", resource="token/e") == newest[::-1]
    assert await resources(resource="member/", since="2030-01-01T00:00:00Z") == []
    assert len(await resources(action="member.added", until="2030-01-01T00:00:00Z")) == 3


@pytest.mark.parametrize(
    "query",
    [
        {"since": "2026-01-01T00:00:00"},
        {"until": "0001-01-01T00:00:00+14:00"},
        {"order": "sideways"},
        {"before": -1},
        {"resource": "x" * 201},
    ],
    ids=str,
)
async def test_a_filter_that_can_not_be_read_is_refused(
    running: Any, query: dict[str, object]
) -> None:
    assert (await running.http.get("/v1/audit", params=query)).status_code == 422


async def test_an_entry_names_the_request_that_made_it(running: Any) -> None:
    answer = await running.http.post(
        "/v1/webhooks", json={"url": "https://hub.example/hook", "events": ["model.published"]}
    )

    (entry,) = (
        item
        for item in (await running.http.get("/v1/audit")).json()["items"]
        if item["action"] == "webhook.added"
    )

    assert answer.status_code == 201
    assert entry["request_id"]
    assert entry["request_id"] == answer.headers["x-request-id"]
    assert answer.json()["secret"] not in str(entry)
