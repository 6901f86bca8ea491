"""The main flows in a browser that runs no scripts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect
from town import Town
from visiting import visiting


@pytest.fixture
def plain(browser, town: Town) -> Iterator[Page]:
    """A page without scripts, on which nobody is logged in."""
    with visiting(browser, town.url, java_script_enabled=False) as page:
        yield page


def log_in(page: Page, token: str) -> None:
    page.goto("/dashboard/login")
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Log in").click()


def test_a_curator_reviews_without_scripts(plain: Page, town: Town) -> None:
    for number in range(2):
        town.submit(f"ada/plain-{number}", approved=False)
    log_in(plain, town.tokens["rita"])
    plain.get_by_role("link", name="Concepts", exact=True).click()
    plain.get_by_role("searchbox").fill("ada/plain-")
    plain.get_by_label("State").select_option("pending_review")
    plain.get_by_role("button", name="Filter").click()
    for number in range(2):
        plain.get_by_label(f"Choose ada/plain-{number} for review").check()
    plain.get_by_role("button", name="Approve").click()
    expect(plain.locator(".told")).to_have_text("2 concepts approved.")


def test_a_member_fuses_without_scripts(plain: Page, town: Town) -> None:
    town.submit("ada/scriptless")
    town.submit("bob/scriptless", package=1)
    log_in(plain, town.tokens["ada"])
    plain.goto("/dashboard/fusions/new")
    plain.get_by_label("Name of the model").fill("scriptless")
    for owner in ("ada", "bob"):
        plain.get_by_label("Search approved concepts").fill(f"{owner}/scriptless")
        plain.get_by_role("button", name="Search", exact=True).click()
        plain.get_by_role("button", name=f"Add {owner}/scriptless@1").click()
    expect(plain.locator("#verdict")).to_contain_text("becomes scriptless@1")
    plain.get_by_role("button", name="Queue fusion").click()
    expect(plain.get_by_role("heading", level=1)).to_have_text("Fusion of scriptless")
    with town.session("ada") as ada:
        *_, ended = ada.watch_fusion(plain.url.rpartition("/")[2])
    plain.reload()
    expect(plain.locator("#job-state")).to_contain_text("Published as scriptless@1")
    assert ended.state == "published"
    plain.get_by_role("link", name="Look at scriptless@1").click()
    expect(plain.get_by_role("heading", level=1)).to_have_text("scriptless@1")


def test_a_member_withdraws_and_logs_out_without_scripts(plain: Page, town: Town) -> None:
    town.submit("bob/withdrawn")
    log_in(plain, town.tokens["bob"])
    plain.goto("/dashboard/concepts/bob/withdrawn/1")
    plain.get_by_role("link", name="Withdraw", exact=True).click()
    plain.get_by_label("Reason").fill("No longer.")
    plain.get_by_role("button", name="Withdraw").click()
    expect(plain.locator(".page-head .state")).to_have_text("withdrawn")
    plain.get_by_role("button", name="Log out").click()
    expect(plain.get_by_label("Token")).to_be_visible()


def test_the_chain_is_proven_step_by_step_without_scripts(plain: Page, town: Town) -> None:
    log_in(plain, town.tokens["root"])
    plain.goto("/dashboard/audit/chain")
    expect(plain.locator("main")).to_contain_text("entry")
