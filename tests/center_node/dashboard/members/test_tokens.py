"""The pages of tokens: everyone's own, and any member's for admins."""

from __future__ import annotations

import re

import httpx
import pytest
from dashboard_steps import log_in, send, token_of
from mos_center.domain.access import LOCAL, Role, Scope
from mos_center.service.center import Center
from mos_protocol.errors import Unauthenticated

EVERYTHING = [scope.value for scope in Scope if scope is not Scope.ADMIN]


def shown_token(page: httpx.Response) -> str | None:
    found = re.search(r"<code>(mos_[\w-]{43})</code>", page.text)
    return found and found[1]


def offered(page: httpx.Response) -> set[str]:
    return set(re.findall(r'name="scope" value="([^"]+)"', page.text))


async def test_a_member_creates_a_token_that_is_shown_once(
    browser: httpx.AsyncClient, center: Center
) -> None:
    await log_in(browser, center, "ada", Role.MEMBER)
    page = await browser.get("/dashboard/tokens")
    assert offered(page) == set(EVERYTHING)
    fields = {"name": "ci", "scope": ["model:read", "concept:read"], "days": "2"}

    made = await send(browser, page, "/tokens", **fields)

    token = shown_token(made)
    assert token is not None, made.text
    assert "It is shown this once." in made.text
    assert made.headers["cache-control"] == "no-store"
    caller = center.tokens.authenticate(token)
    assert (caller.name, caller.scopes) == ("ada", {Scope.MODEL_READ, Scope.CONCEPT_READ})
    listed = await browser.get("/dashboard/tokens")
    assert token not in listed.text
    assert "in 2 d" in listed.text or "in 1 d" in listed.text
    assert "mos_" not in re.sub(r"mos_(told|session|join)", "", listed.text)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"name": "laptop", "scope": EVERYTHING}, "already has a token named"),
        ({"name": "No Slug", "scope": EVERYTHING}, "token name"),
        ({"name": "ci"}, "would be good for nothing"),
        ({"name": "ci", "scope": ["admin"]}, "can&#39;t have the scope admin"),
        ({"name": "ci", "scope": EVERYTHING, "days": "soon"}, "Days can&#39;t be &#39;soon&#39;"),
        ({"name": "ci", "scope": EVERYTHING, "days": "0"}, "over at once"),
        ({"name": "ci", "scope": EVERYTHING, "member": "root"}, "needs the role admin"),
    ],
    ids=str,
)
async def test_a_token_that_can_not_be_made_says_why(
    browser: httpx.AsyncClient, center: Center, fields: dict[str, object], told: str
) -> None:
    await log_in(browser, center, "ada", Role.MEMBER)
    page = await browser.get("/dashboard/tokens")

    after = await send(browser, page, "/tokens", **fields)

    assert told in after.text
    assert len(center.tokens.all(caller=LOCAL)) == 1


async def test_a_member_sees_its_own_tokens_and_nobody_elses(
    browser: httpx.AsyncClient, center: Center
) -> None:
    token_of(center, "bob")
    center.tokens.create("bob", "secret-place", caller=LOCAL)
    await log_in(browser, center, "ada", Role.MEMBER)

    own = await browser.get("/dashboard/tokens")

    assert "laptop" in own.text
    assert "secret-place" not in own.text
    assert 'name="member"' not in own.text
    for other in ("bob", "*", "nobody"):
        assert (await browser.get("/dashboard/tokens", params={"member": other})).status_code == 403


async def test_revoking_another_token_leaves_the_browser_logged_in(
    browser: httpx.AsyncClient, center: Center
) -> None:
    await log_in(browser, center, "ada", Role.MEMBER)
    secret, record = center.tokens.create("ada", "ci", caller=LOCAL)
    page = await browser.get("/dashboard/tokens")

    after = await send(browser, page, f"/tokens/{record.id}/revoke")

    assert after.url.path == "/dashboard/tokens"
    assert "The token ci of ada is revoked" in after.text
    assert 'class="state revoked"' in after.text
    with pytest.raises(Unauthenticated):
        center.tokens.authenticate(secret)


async def test_revoking_the_browsers_own_token_is_told_before_and_logs_out(
    browser: httpx.AsyncClient, center: Center
) -> None:
    await log_in(browser, center, "ada", Role.MEMBER)
    (record,) = center.tokens.all("ada", caller=LOCAL)
    page = await browser.get("/dashboard/tokens")
    assert "Revoking that one logs it out at once" in page.text
    assert "Revoke and log out" in page.text

    after = await send(browser, page, f"/tokens/{record.id}/revoke")

    assert after.url.path == "/dashboard/login"
    assert "mos_session" not in browser.cookies
    assert (await browser.get("/dashboard/tokens")).url.path == "/dashboard/login"


async def test_nobody_revokes_the_token_of_another(
    browser: httpx.AsyncClient, center: Center
) -> None:
    token = token_of(center, "bob")
    await log_in(browser, center, "ada", Role.MEMBER)
    (record,) = center.tokens.all("bob", caller=LOCAL)
    page = await browser.get("/dashboard/tokens")

    after = await send(browser, page, f"/tokens/{record.id}/revoke")

    assert after.status_code == 404
    assert center.tokens.authenticate(token).name == "bob"


async def test_an_admin_looks_after_the_tokens_of_others(
    browser: httpx.AsyncClient, center: Center
) -> None:
    token_of(center, "bob")
    await log_in(browser, center, "root", Role.ADMIN)

    everyones = await browser.get("/dashboard/tokens", params={"member": "*"})
    bobs = await browser.get("/dashboard/tokens?member=bob")
    nobodys = await browser.get("/dashboard/tokens?member=nobody")

    assert 'href="/dashboard/members/bob"' in everyones.text
    assert "Tokens of bob" in bobs.text
    assert offered(bobs) == set(EVERYTHING)
    assert "There is no member nobody." in nobodys.text
    assert offered(nobodys) == set()
    made = await send(browser, bobs, "/tokens", member="bob", name="ci", scope=["model:read"])
    caller = center.tokens.authenticate(shown_token(made))
    assert (caller.name, caller.scopes) == ("bob", {Scope.MODEL_READ})
    (record,) = [one for one in center.tokens.all("bob", caller=LOCAL) if one.name == "ci"]
    after = await send(browser, bobs, f"/tokens/{record.id}/revoke")
    assert str(after.url.query, "ascii") == "member=bob"


async def test_tokens_are_paged_newest_first(browser: httpx.AsyncClient, center: Center) -> None:
    await log_in(browser, center, "ada", Role.MEMBER)
    for number in range(45):
        center.tokens.create("ada", f"n-{number}", caller=LOCAL)
    expected = [one.name for one in center.tokens.find("ada", caller=LOCAL, limit=100)]

    def names(page: httpx.Response) -> list[str]:
        return re.findall(r'<th scope="row" class="roomy">([\w-]+)', page.text)

    first = await browser.get("/dashboard/tokens")
    second = await browser.get(re.search(r'href="([^"]+)" rel="next"', first.text)[1])

    assert names(first) + names(second) == expected
    assert len(expected) == 46


async def test_states_of_tokens_are_told(browser: httpx.AsyncClient, center: Center) -> None:
    await log_in(browser, center, "ada", Role.MEMBER)
    page = await browser.get("/dashboard/tokens")
    made = await send(browser, page, "/tokens", name="brief", scope=["model:read"], days="1e-9")
    assert shown_token(made)

    listed = await browser.get("/dashboard/tokens")

    assert 'class="state expired"' in listed.text
    assert 'class="state active"' in listed.text


async def test_an_open_center_says_that_the_first_token_ends_it(
    browser: httpx.AsyncClient, center: Center
) -> None:
    center.members.add("ada", Role.ADMIN, caller=LOCAL)
    page = await browser.get("/dashboard/tokens")
    assert "Nobody needs a token here yet" in page.text
    assert "mos-center token create NAME" in page.text

    made = await send(
        browser, page, "/tokens", member="ada", name="first", scope=[*EVERYTHING, "admin"]
    )

    assert "From now on this center asks everyone for a token" in made.text
    assert center.tokens.authenticate(shown_token(made)).is_admin
    assert (await browser.get("/dashboard/tokens")).url.path == "/dashboard/login"
