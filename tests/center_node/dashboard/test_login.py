from __future__ import annotations

from typing import Any

import httpx
import pytest
from dashboard_steps import csrf, log_in, token_of
from mos_center.domain.access import LOCAL, Role
from mos_center.service.center import Center


async def test_a_stranger_is_led_to_the_login_page(
    browser: httpx.AsyncClient, center: Center
) -> None:
    token_of(center, "rita")
    for path in ("/", "/dashboard", "/dashboard/", "/dashboard/models", "/dashboard/fusions"):
        page = await browser.get(path)
        assert page.url.path == "/dashboard/login", path
    for path in ("/dashboard/concepts/review", "/dashboard/fusions/x/cancel"):
        page = await browser.post(path, data={"csrf": "0" * 64})
        assert page.url.path == "/dashboard/login", path


async def test_a_wrong_token_is_refused_and_a_right_one_opens_a_session(
    browser: httpx.AsyncClient, center: Center
) -> None:
    refused = await browser.post("/dashboard/login", data={"token": "mos_guess"})
    assert refused.status_code == 401
    assert "not one of this center" in refused.text

    page = await log_in(browser, center)

    assert page.url.path == "/dashboard/"
    cookie = page.history[0].headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "rita" in page.text
    left = await browser.post("/dashboard/logout", data={"csrf": csrf(page)})
    assert left.url.path == "/dashboard/login"
    assert (await browser.get("/dashboard/concepts")).url.path == "/dashboard/login"


async def test_whoever_logs_in_gets_to_the_page_that_was_wanted(
    browser: httpx.AsyncClient, center: Center
) -> None:
    token = token_of(center, "rita", Role.CURATOR)
    asked = await browser.get("/dashboard/concepts?state=approved")
    assert asked.url.path == "/dashboard/login"

    then = asked.url.params["then"]
    page = await browser.post("/dashboard/login", data={"token": token, "then": then})

    assert (page.url.path, page.url.query) == ("/dashboard/concepts", b"state=approved")


@pytest.mark.parametrize(
    "then", ["https://evil.example/", "//evil.example/x", "/v1/concepts", "javascript:alert(1)"]
)
async def test_logging_in_leads_nowhere_else(
    browser: httpx.AsyncClient, center: Center, then: str
) -> None:
    token = token_of(center, "rita", Role.CURATOR)

    page = await browser.post("/dashboard/login", data={"token": token, "then": then})

    assert page.url.path == "/dashboard/"


async def test_a_revoked_token_ends_the_sessions_that_were_opened_with_it(
    browser: httpx.AsyncClient, center: Center
) -> None:
    await log_in(browser, center)
    (token,) = center.tokens.all("rita", caller=LOCAL)

    center.tokens.revoke(token.id, caller=LOCAL)

    assert (await browser.get("/dashboard/")).url.path == "/dashboard/login"


async def test_a_part_that_is_asked_for_without_a_session_sends_the_whole_page_to_the_login(
    browser: httpx.AsyncClient, center: Center
) -> None:
    token_of(center, "rita")

    part = await browser.get("/dashboard/concepts", headers={"HX-Request": "true"})

    assert part.status_code == 204
    assert part.headers["hx-redirect"].startswith("/dashboard/login")


async def test_every_page_runs_only_our_scripts_and_loads_nothing_from_elsewhere(
    browser: httpx.AsyncClient, running: Any
) -> None:
    for path in ("login", "concepts", "static/style.css", "nothing-here"):
        page = await browser.get(f"/dashboard/{path}")
        # With "no-referrer" a browser hides the origin of our own forms, which are then refused.
        assert page.headers["referrer-policy"] == "same-origin"
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert 'src="http' not in page.text
        assert 'href="http' not in page.text
        assert "<script>" not in page.text
        assert "style=" not in page.text


async def test_an_unknown_page_says_where_to_go(browser: httpx.AsyncClient) -> None:
    page = await browser.get("/dashboard/nothing-here")

    assert page.status_code == 404
    assert "Back to the overview" in page.text


async def test_an_open_center_protects_its_forms_too(
    browser: httpx.AsyncClient, center: Center, waiting: Any
) -> None:
    page = await browser.get(f"/dashboard/concepts/{waiting.concept}/{waiting.version}")
    fields = {"submission": waiting.id, "decision": "reject", "reason": "no consent given"}

    assert (await browser.post("/dashboard/concepts/review", data=fields)).status_code == 403
    done = await browser.post("/dashboard/concepts/review", data={"csrf": csrf(page), **fields})

    assert done.status_code == 200
    assert "1 concept rejected." in done.text
