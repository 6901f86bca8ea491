"""Models: compared, pointed at by aliases, and what a withdrawal does to them."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect
from town import Town
from visiting import told


@pytest.fixture(scope="module")
def kinds(town: Town) -> None:
    """The model "kinds" in two versions, the second with a concept more."""
    town.submit("ada/one")
    town.submit("bob/two", package=1)
    town.fuse("kinds", "ada/one", previews=True)
    town.fuse("kinds", "ada/one", "bob/two", previews=True)


@pytest.mark.usefixtures("kinds")
def test_two_versions_are_compared(visit) -> None:
    with visit("bob") as page:
        page.goto("/dashboard/models?q=kinds")
        page.get_by_role("link", name="kinds", exact=False).first.click()
        page.get_by_role("link", name="Models").last.click()
        page.goto("/dashboard/models/kinds")
        page.get_by_label("Compare kinds@1 on the left").check()
        page.get_by_label("Compare kinds@2 on the right").check()
        page.get_by_role("button", name="Compare left with right").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Compare two versions")
        row = page.get_by_role("row", name="bob/two")
        expect(row).to_contain_text("not in it")
        expect(page.get_by_role("img", name="ada/one in kinds@1")).to_be_visible()
        page.get_by_label("Left").fill("kinds@9")
        page.get_by_role("button", name="Compare", exact=True).click()
        expect(page.get_by_role("alert")).to_contain_text("kinds@9")
        expect(page.get_by_label("Left")).to_have_value("kinds@9")


@pytest.mark.usefixtures("kinds")
def test_a_version_shows_its_pictures_its_lineage_and_how_to_get_it(visit) -> None:
    with visit("bob") as page:
        page.goto("/dashboard/models/kinds/2")
        for picture in page.locator("main img").all():
            picture.scroll_into_view_if_needed()
            assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
        expect(page.get_by_text("mos-client pull kinds@2 --out ./kinds-2").first).to_be_visible()
        expect(page.locator("svg.drawing")).to_be_visible()
        page.locator("svg.drawing a", has_text="bob/two").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("bob/two@1")


@pytest.mark.usefixtures("kinds")
def test_an_alias_moves_and_is_rolled_back(visit) -> None:
    with visit("ada") as page:
        page.goto("/dashboard/models/kinds")
        for version in ("1", "2"):
            page.get_by_label("Move or make the alias").fill("champion")
            page.get_by_label("to version").fill(version)
            page.get_by_role("button", name="Move", exact=True).click()
            assert told(page) == f"champion means kinds@{version} now."
        page.get_by_role("button", name="Roll champion back").click()
        expect(page.get_by_text("means kinds@1", exact=True)).to_be_visible()
        page.get_by_role("button", name="Remove the alias champion").click()
        expect(page.get_by_text("removed").first).to_be_visible()
    with visit("bob") as page:
        page.goto("/dashboard/models/kinds")
        expect(page.get_by_label("Move or make the alias")).to_have_count(0)


def test_a_withdrawal_tombstones_a_version_and_offers_to_fuse_the_rest_again(
    visit, town: Town
) -> None:
    town.submit("ada/stays")
    town.submit("bob/goes", package=1)
    town.fuse("mixed", "ada/stays", "bob/goes")
    with visit("bob") as page:
        page.goto("/dashboard/concepts/bob/goes/1")
        page.get_by_role("link", name="Withdraw", exact=True).click()
        expect(page.get_by_text("mixed@1")).to_be_visible()
        page.get_by_label("Reason").fill("I changed my mind.")
        page.get_by_role("button", name="Withdraw").click()
        assert "is withdrawn" in told(page)
        expect(page.locator(".page-head .state")).to_have_text("withdrawn")
    with visit("ada") as page:
        page.goto("/dashboard/models/mixed/1")
        expect(page.locator(".page-head .state")).to_have_text("tombstoned")
        expect(page.locator("p.problem")).to_contain_text("I changed my mind.")
        page.get_by_role("button", name="Fuse again without it").click()
        expect(page.locator("#job-state")).to_contain_text("Published as mixed@2", timeout=60_000)


def test_a_version_is_tombstoned_by_its_owner_after_a_page_that_says_what_happens(
    visit, town: Town
) -> None:
    town.submit("ada/kept")
    town.fuse("doomed", "ada/kept")
    with visit("ada") as page:
        page.goto("/dashboard/models/doomed/1")
        page.get_by_role("link", name="Tombstone", exact=True).click()
        expect(page.get_by_text("There is no way back.")).to_be_visible()
        page.get_by_label("Reason").fill("It drew nonsense.")
        page.get_by_role("button", name="Tombstone doomed@1").click()
        expect(page.locator(".page-head .state")).to_have_text("tombstoned")
    with visit("bob") as page:
        page.goto("/dashboard/models/doomed/1")
        expect(page.get_by_text("It drew nonsense.")).to_be_visible()
