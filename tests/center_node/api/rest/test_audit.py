from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from mos_center.domain.access import LOCAL, Role
from mos_center.domain.models import Submission
from mos_center.service.center import Center


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
