"""Members, tokens, invitations and joining over HTTP."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import httpx
import pytest
from mos_center.domain.access import LOCAL, Role
from mos_center.service.center import Center


@pytest.fixture
def root(center: Center) -> dict[str, str]:
    """The headers of an admin."""
    center.members.add("root", Role.ADMIN, caller=LOCAL)
    return bearer(center.tokens.create("root", "laptop", caller=LOCAL)[0])


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def invited(http: httpx.AsyncClient, root: dict[str, str], **body: object) -> str:
    answer = await http.post("/v1/invitations", json=body, headers=root)
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()["token"]


async def test_a_newcomer_joins_with_an_invitation_and_is_known_from_then_on(
    running: Any, root: dict[str, str]
) -> None:
    http = running.http
    token = await invited(http, root, name="ada", trusted=True)
    listed = (await http.get("/v1/invitations", headers=root)).json()["items"]
    assert [(item["name"], "token" in item) for item in listed] == [("ada", False)]

    joined = await http.post("/v1/join", json={"token": token})

    assert joined.status_code == 201
    assert joined.headers["cache-control"] == "no-store"
    me = (await http.get("/v1/me", headers=bearer(joined.json()["token"]))).json()
    assert (me["member"], me["role"], me["token_id"]) == (
        "ada",
        "member",
        joined.json()["token_id"],
    )
    assert me["scopes"] == sorted(joined.json()["scopes"])
    assert me["usage"] == {"bytes": 0, "concepts": 0, "jobs": 0}
    assert me["limits"] == {"bytes": None, "concepts": None, "jobs": None}
    again = await http.post("/v1/join", json={"token": token})
    assert again.status_code == 401
    assert "joined with this token already" in again.json()["detail"]
    assert (await http.get("/v1/invitations", headers=root)).json()["items"] == []


async def test_of_two_who_join_at_once_over_http_one_is_a_member(
    running: Any, root: dict[str, str]
) -> None:
    token = await invited(running.http, root)

    told = await asyncio.gather(
        *(
            running.http.post("/v1/join", json={"token": token, "name": name})
            for name in ("ada", "ben")
        )
    )

    assert sorted(answer.status_code for answer in told) == [201, 401]


async def test_a_taken_name_is_a_conflict_and_the_invitation_stays_good(
    running: Any, root: dict[str, str]
) -> None:
    token = await invited(running.http, root)

    taken = await running.http.post("/v1/join", json={"token": token, "name": "root"})
    joined = await running.http.post("/v1/join", json={"token": token, "name": "ada"})

    assert (taken.status_code, joined.status_code) == (409, 201)


async def test_a_wrong_join_request_does_not_repeat_the_token(running: Any, root: Any) -> None:
    for body in ({"token": "mos_join_secret", "role": "admin"}, {"token": "mos_join_secret" * 99}):
        answer = await running.http.post("/v1/join", json=body)
        assert answer.status_code == 422
        assert "mos_join_secret" not in answer.text


async def test_members_are_changed_by_what_is_said_and_no_more(
    running: Any, root: dict[str, str]
) -> None:
    http = running.http
    await http.post("/v1/members", json={"name": "ada", "trusted": True}, headers=root)

    changed = await http.patch("/v1/members/ada", json={"quota_jobs": 3}, headers=root)
    assert (changed.json()["quota_jobs"], changed.json()["trusted"]) == (3, True)
    reset = await http.patch(
        "/v1/members/ada", json={"quota_jobs": None, "role": "curator"}, headers=root
    )
    assert (reset.json()["quota_jobs"], reset.json()["role"]) == (None, "curator")
    wrong = await http.patch("/v1/members/ada", json={"quota_jobs": -1}, headers=root)
    assert wrong.status_code == 422
    unknown = await http.patch("/v1/members/ada", json={"name": "eve"}, headers=root)
    assert unknown.status_code == 422
    names = [item["name"] for item in (await http.get("/v1/members", headers=root)).json()["items"]]
    assert names == ["ada", "root"]


async def test_a_token_is_told_once_and_listed_with_its_last_use(
    running: Any, root: dict[str, str]
) -> None:
    http = running.http
    wanted = {"name": "ci", "scopes": ["model:read"], "expires_in_days": 1.5}

    made = (await http.post("/v1/tokens", json=wanted, headers=root)).json()
    assert made["scopes"] == ["model:read"]
    assert (await http.get("/v1/models", headers=bearer(made["token"]))).status_code == 200
    refused = await http.get("/v1/concepts", headers=bearer(made["token"]))
    assert refused.status_code == 403

    listed = (await http.get("/v1/tokens", headers=root)).json()["items"]
    shown = next(item for item in listed if item["name"] == "ci")
    assert shown["last_used_at"] is not None
    assert made["token"] not in str(listed)
    assert (await http.delete(f"/v1/tokens/{made['id']}", headers=root)).status_code == 204
    assert (await http.get("/v1/models", headers=bearer(made["token"]))).status_code == 401


async def test_no_secret_is_written_into_the_log(
    running: Any, root: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    join_token = await invited(running.http, root)
    joined = await running.http.post("/v1/join", json={"token": join_token, "name": "ada"})
    made = await running.http.post("/v1/tokens", json={"name": "ci"}, headers=root)
    await running.http.post("/v1/join", json={"token": join_token, "name": "ben"})

    secrets = (join_token, joined.json()["token"], made.json()["token"], root["Authorization"])
    assert "member.joined" in caplog.text
    assert not [secret for secret in secrets if secret.removeprefix("Bearer ") in caplog.text]


async def test_an_open_centers_local_caller_is_told_as_what_it_is(running: Any) -> None:
    me = (await running.http.get("/v1/me")).json()

    assert (me["member"], me["role"], me["token_id"]) == ("local", "admin", None)
