"""Tokens and invitations: shown once, used for real, revoked."""

from __future__ import annotations

import re

from mos_client.session import Session
from playwright.sync_api import expect
from town import Town
from visiting import visiting


def test_a_token_is_shown_once_works_and_is_revoked(visit, browser, town: Town) -> None:
    with visit("bob") as page:
        page.goto("/dashboard/tokens")
        page.get_by_label("Name").fill("for-reading")
        for scope in ("concept:write", "fusion:request"):
            page.get_by_label(re.compile(scope)).uncheck()
        page.get_by_role("button", name="Create the token").click()
        secret = page.get_by_text(re.compile(r"^mos_\S{40,}$")).first.inner_text()
        with Session(town.url, secret) as session:
            assert session.me().member == "bob"
            assert set(session.me().scopes) == {"concept:read", "model:read"}

        page.goto("/dashboard/tokens")
        assert secret not in page.content()
        with visiting(browser, town.url, secret) as other:
            other.goto("/dashboard/concepts")
            row = page.get_by_role("row", name="for-reading")
            row.get_by_role("button").click()
            other.goto("/dashboard/concepts")
            other.wait_for_url("**/dashboard/login**")
        expect(page.get_by_role("row", name="for-reading")).to_contain_text("revoked")


def test_an_admin_invites_somebody_who_joins_and_is_disabled(visit, town: Town) -> None:
    with visit("root") as page:
        page.goto("/dashboard/members")
        page.get_by_label("Name").fill("newcomer")
        page.get_by_role("button", name="Make the invitation").click()
        join = re.search(r"mos_join_[\w-]+", page.content())
        assert join is not None
        with Session(town.url) as session:
            welcome = session.join(join[0])
        page.goto("/dashboard/members?q=newcomer")
        assert join[0] not in page.content()
        page.get_by_role("link", name="newcomer").click()
        page.get_by_role("button", name="Disable newcomer").click()
        expect(page.locator(".page-head .state")).to_have_text("disabled")
    with visit(expected={401}) as page:
        page.goto("/dashboard/login")
        page.get_by_label("Token").fill(welcome.token)
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("alert")).to_contain_text("disabled")


def test_the_log_proves_itself_and_names_what_was_done(visit, town: Town) -> None:
    town.submit("ada/logged")
    with visit("root") as page:
        page.goto("/dashboard/audit?actor=rita")
        expect(page.locator("main")).to_contain_text("ada/logged@1")
        expect(page.get_by_text("checked just now")).to_be_visible()


def test_the_system_page_knows_the_worker(visit) -> None:
    with visit("root") as page:
        page.goto("/dashboard/system")
        expect(page.get_by_role("row", name="worker-0")).to_contain_text("alive")
        expect(page.get_by_role("row", name="MOS_REVIEW")).to_contain_text("manual")
