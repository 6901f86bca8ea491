"""The pages of members: searching, inviting, changing and disabling them."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from dashboard_steps import MARKUP, log_in, send, token_of
from mos_center.domain.access import LOCAL, Role
from mos_center.domain.models import Submission
from mos_center.domain.policy import Quota
from mos_center.service.center import Center
from mos_center.service.members import MemberChange


@pytest.fixture
async def admin(browser: httpx.AsyncClient, center: Center) -> httpx.AsyncClient:
    """A browser in which root, the only admin, is logged in."""
    await log_in(browser, center, "root", Role.ADMIN)
    return browser


def names(page: httpx.Response) -> list[str]:
    return re.findall(r'<th scope="row" class="roomy"><a href="[^"]*">([^<]+)</a>', page.text)


def row(page: httpx.Response, name: str) -> str:
    """The text of a member's row."""
    found = re.search(rf'<tr><th[^>]*><a href="[^"]*/members/{name}">.*?</tr>', page.text, re.S)
    assert found is not None, page.text
    return " ".join(re.sub(r"<[^>]+>", " ", found[0]).split())


async def test_members_are_listed_with_what_they_have_and_may(
    admin: httpx.AsyncClient, center: Center, submit: Callable[..., Submission]
) -> None:
    token = token_of(center, "ada")
    size = submit(concept="ada/potter").size
    quota = {"concepts": 5, "total_bytes": 2 * size}
    center.members.change("ada", MemberChange(trusted=True, quota=quota), caller=LOCAL)
    center.members.add("bob", caller=LOCAL)
    center.members.change("bob", MemberChange(disabled=True), caller=LOCAL)
    center.tokens.authenticate(token)

    page = await admin.get("/dashboard/members")

    assert names(page) == ["ada", "bob", "root"]
    assert "member trusted active just now 1 of 5 1" in row(page, "ada")
    assert "member disabled never 0 0 B" in row(page, "bob")
    assert f'value="{size}" aria-label="storage of ada"' in page.text


async def test_members_are_searched_filtered_and_paged(
    admin: httpx.AsyncClient, center: Center
) -> None:
    for number in range(45):
        center.members.add(f"m-{number:02}", caller=LOCAL)

    first = await admin.get("/dashboard/members")
    following = re.search(r'href="([^"]+)" rel="next"', first.text)
    second = await admin.get(html.unescape(following[1]))

    assert names(first) + names(second) == [*(f"m-{number:02}" for number in range(45)), "root"]
    assert names(await admin.get("/dashboard/members?q=-1")) == [f"m-1{n}" for n in range(10)]
    assert names(await admin.get("/dashboard/members?role=admin")) == ["root"]
    nothing = await admin.get("/dashboard/members?q=nobody")
    assert "No member fits" in nothing.text


async def test_an_invitation_is_shown_once_and_lets_one_newcomer_in(
    admin: httpx.AsyncClient, center: Center, running: Any
) -> None:
    page = await admin.get("/dashboard/members")
    fields = {"name": "ada", "role": "curator", "trusted": "on", "hours": "1.5"}

    made = await send(admin, page, "/members/invitations", **fields)

    told = re.search(r"<code>mos-client join (\S+) (mos_join_[\w-]+)</code>", made.text)
    assert told is not None, made.text
    assert told[1] == str(admin.base_url).rstrip("/")
    assert made.headers["cache-control"] == "no-store"
    assert not made.history
    listed = await admin.get("/dashboard/members")
    assert "mos_join_" not in listed.text
    assert "curator, trusted, by root, expires" in listed.text
    member = center.invitations.join(told[2]).member
    assert (member.name, member.role, member.trusted) == ("ada", Role.CURATOR, True)
    assert "by root, expires" not in (await admin.get("/dashboard/members")).text


async def test_the_join_command_has_the_address_that_the_browser_knows(
    admin: httpx.AsyncClient,
) -> None:
    page = await admin.get("/dashboard/members")
    token = re.search(r'name="csrf" value="([0-9a-f]{64})"', page.text)[1]
    host = admin.base_url.netloc.decode()

    made = await admin.post(
        "/dashboard/members/invitations",
        data={"csrf": token, "role": "member"},
        headers={"Origin": f"https://{host}"},
    )

    assert f"mos-client join https://{host} mos_join_" in made.text
    assert " --name NAME</code>" in made.text


async def test_an_invitation_that_is_over_says_so(admin: httpx.AsyncClient, center: Center) -> None:
    center.invitations.create("ada", lifetime=timedelta(seconds=-90), caller=LOCAL)

    page = await admin.get("/dashboard/members")

    assert re.search(r"by local, expired <time[^>]*>1 min ago</time>", page.text)


async def test_an_invitation_is_taken_back(admin: httpx.AsyncClient, center: Center) -> None:
    _, invitation = center.invitations.create("ada", caller=LOCAL)
    page = await admin.get("/dashboard/members")

    after = await send(admin, page, f"/members/invitations/{invitation.id}/revoke")

    assert "The invitation is taken back" in after.text
    assert center.invitations.all(caller=LOCAL) == ()


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"name": "root", "role": "member"}, "already a member named"),
        ({"name": "Not A Slug", "role": "member"}, "member name"),
        ({"name": MARKUP, "role": "member"}, "member name"),
        ({"role": "emperor"}, "No role is chosen"),
        ({"role": "member", "hours": "many"}, "Hours can&#39;t be &#39;many&#39;"),
        ({"role": "member", "hours": "0"}, "over at once"),
        ({"role": "member", "hours": "99999"}, "from 0 to 2,160"),
        ({"role": "member", "hours": "nan"}, "Hours can&#39;t be"),
    ],
    ids=str,
)
async def test_an_invitation_that_can_not_be_made_says_why(
    admin: httpx.AsyncClient, center: Center, fields: dict[str, str], told: str
) -> None:
    page = await admin.get("/dashboard/members")

    after = await send(admin, page, "/members/invitations", **fields)

    assert after.url.path == "/dashboard/members"
    assert told in after.text
    assert "<script>alert" not in after.text
    assert center.invitations.all(caller=LOCAL) == ()


async def test_role_trust_and_limits_are_changed_together(
    admin: httpx.AsyncClient, center: Center
) -> None:
    center.members.add("ada", trusted=True, caller=LOCAL)
    page = await admin.get("/dashboard/members/ada")
    fields = {"role": "curator", "gigabytes": "1.5", "concepts": "", "unfinished_fusions": "0"}

    saved = await send(admin, page, "/members/ada", **fields)

    ada = center.members.get("ada", caller=LOCAL)
    assert (ada.role, ada.trusted, ada.quota) == (
        Role.CURATOR,
        False,
        Quota(1_500_000_000, None, 0),
    )
    assert "ada is saved." in saved.text
    assert 'name="gigabytes" type="number" min="0" step="any" value="1.5"' in saved.text
    assert 'name="unfinished_fusions" type="number" min="0" step="1" value="0"' in saved.text


async def test_limits_come_back_from_the_form_as_they_are(
    admin: httpx.AsyncClient, center: Center
) -> None:
    center.members.add("ada", caller=LOCAL)
    for exact in (1, 999_999_999, 123_456_789_012_345, 2**52 + 1):
        change = MemberChange(quota={"total_bytes": exact})
        center.members.change("ada", change, caller=LOCAL)
        page = await admin.get("/dashboard/members/ada")
        shown = re.search(r'name="gigabytes"[^>]*value="([^"]*)"', page.text)[1]
        await send(admin, page, "/members/ada", role="member", gigabytes=shown)
        assert center.members.get("ada", caller=LOCAL).quota.total_bytes == exact


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"gigabytes": "-1"}, "Gigabytes can&#39;t be &#39;-1&#39;"),
        ({"concepts": "1.5"}, "Write a whole number"),
        ({"unfinished_fusions": "1e300"}, "Unfinished fusions can&#39;t be"),
        ({"role": ""}, "No role is chosen"),
    ],
    ids=str,
)
async def test_a_change_that_can_not_be_read_says_why_and_changes_nothing(
    admin: httpx.AsyncClient, center: Center, fields: dict[str, str], told: str
) -> None:
    ada = center.members.add("ada", caller=LOCAL)
    page = await admin.get("/dashboard/members/ada")

    after = await send(admin, page, "/members/ada", **{"role": "member", **fields})

    assert told in after.text
    assert center.members.get("ada", caller=LOCAL) == ada


async def test_a_disabled_member_is_out_at_once_and_in_again_when_enabled(
    admin: httpx.AsyncClient, center: Center
) -> None:
    token = token_of(center, "ada")
    page = await admin.get("/dashboard/members/ada")
    async with httpx.AsyncClient(base_url=admin.base_url, follow_redirects=True) as other:
        await other.post("/dashboard/login", data={"token": token})
        assert (await other.get("/dashboard/tokens")).url.path == "/dashboard/tokens"

        disabled = await send(admin, page, "/members/ada", change="disable")

        assert "ada is disabled" in disabled.text
        assert (await other.get("/dashboard/tokens")).url.path == "/dashboard/login"
    enabled = await send(admin, disabled, "/members/ada", change="enable")
    assert "ada is enabled again" in enabled.text
    assert center.tokens.authenticate(token).name == "ada"


@pytest.mark.parametrize("fields", [{"change": "disable"}, {"role": "curator"}], ids=str)
async def test_the_last_admin_stays_one_and_is_told_why(
    admin: httpx.AsyncClient, center: Center, fields: dict[str, str]
) -> None:
    page = await admin.get("/dashboard/members/root")

    after = await send(admin, page, "/members/root", **fields)

    assert "root is the last admin of this center." in after.text
    assert center.members.get("root", caller=LOCAL).role is Role.ADMIN


async def test_an_admin_that_resigns_is_led_to_the_overview(
    admin: httpx.AsyncClient, center: Center
) -> None:
    center.members.add("zoe", Role.ADMIN, caller=LOCAL)
    page = await admin.get("/dashboard/members/root")

    after = await send(admin, page, "/members/root", role="member")

    assert (after.status_code, after.url.path) == (200, "/dashboard/")
    assert "root is saved." in after.text


async def test_a_members_page_leads_to_what_belongs_to_it(
    admin: httpx.AsyncClient, center: Center
) -> None:
    token_of(center, "ada")

    page = await admin.get("/dashboard/members/ada")

    for path in ("concepts?owner=ada", "fusions?requested_by=ada", "audit?actor=ada"):
        assert f'href="/dashboard/{path}"' in page.text
        assert (await admin.get(f"/dashboard/{path}")).status_code == 200
    (record,) = center.tokens.all("ada", caller=LOCAL)
    after = await send(admin, page, f"/tokens/{record.id}/revoke", then="member")
    assert after.url.path == "/dashboard/members/ada"
    assert "The token laptop of ada is revoked" in after.text


async def test_a_member_that_is_not_there_is_no_page(admin: httpx.AsyncClient) -> None:
    missing = await admin.get("/dashboard/members/nobody")

    assert missing.status_code == 404
    assert "There is no member" in missing.text


async def test_a_center_without_tokens_shows_its_members_too(
    browser: httpx.AsyncClient, center: Center
) -> None:
    empty = await browser.get("/dashboard/members")
    assert "No member yet" in empty.text
    made = await send(browser, empty, "/members/invitations", name="ada", role="member")
    assert "mos_join_" in made.text
