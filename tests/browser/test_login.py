"""Logging in with a token, out, and back to the page that was wanted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mos_center.opening import opened
from mos_center.settings import Settings
from mos_center.storage.tables import sessions
from playwright.sync_api import Page, expect
from sqlalchemy import update
from town import Town


def log_in(page: Page, token: str) -> None:
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Log in").click()


def test_a_token_opens_the_page_that_was_wanted(visit, town: Town) -> None:
    with visit() as page:
        page.goto("/dashboard/fusions?state=failed")
        expect(page.get_by_label("Token")).to_be_focused()
        log_in(page, town.tokens["ada"])
        page.wait_for_url("**/dashboard/fusions?state=failed")
        expect(page.get_by_role("heading", level=1)).to_have_text("Fusions")


def test_a_wrong_token_is_refused_with_a_reason(visit) -> None:
    with visit(expected={401}) as page:
        page.goto("/dashboard/login")
        log_in(page, "mos_guess")
        expect(page.get_by_role("alert")).to_contain_text("not one of this center")
        assert page.context.cookies() == []


def test_the_session_can_not_be_read_by_scripts_nor_sent_by_other_sites(visit) -> None:
    with visit("ada") as page:
        page.goto("/dashboard/")
        (cookie,) = page.context.cookies()
        assert cookie["httpOnly"]
        assert cookie["sameSite"] == "Strict"
        assert page.evaluate("document.cookie") == ""


def test_logged_out_the_browser_s_history_shows_nothing(visit) -> None:
    with visit("ada") as page:
        page.goto("/dashboard/tokens")
        page.get_by_role("button", name="Log out").click()
        page.wait_for_url("**/dashboard/login")
        page.go_back()
        page.wait_for_url("**/dashboard/login?then=**")


def test_an_expired_session_leads_back_to_the_page_after_the_login(visit, town: Town) -> None:
    with visit("bob") as page:
        page.goto("/dashboard/models")
        _expire_sessions(town)
        page.goto("/dashboard/concepts?q=cat")
        page.wait_for_url("**/dashboard/login?then=**")
        log_in(page, town.tokens["bob"])
        page.wait_for_url("**/dashboard/concepts?q=cat")


def test_a_part_that_comes_after_the_session_ended_leads_to_the_login(visit, town: Town) -> None:
    with visit("bob") as page:
        page.goto("/dashboard/concepts")
        _expire_sessions(town)
        page.get_by_role("searchbox").fill("x")
        page.wait_for_url("**/dashboard/login**")


def _expire_sessions(town: Town) -> None:
    past = datetime.now(UTC) - timedelta(minutes=1)
    with opened(Settings(data=town.data)) as data, data.database.engine.begin() as connection:
        connection.execute(update(sessions).values(expires_at=past))
