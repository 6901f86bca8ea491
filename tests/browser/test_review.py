"""Reviewing concepts: one by one with a reason, many at once, and not without the role."""

from __future__ import annotations

import re

from playwright.sync_api import expect
from town import Town
from visiting import mark, told


def test_a_curator_approves_what_a_member_sent(visit, town: Town) -> None:
    town.submit("ada/approved", approved=False)
    with visit("rita") as page:
        page.goto("/dashboard/")
        page.get_by_role("link", name=re.compile("^Review (it|them)$")).click()
        page.get_by_role("link", name="ada/approved").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("ada/approved@1")
        page.get_by_role("button", name="Approve").click()
        expect(page.locator(".told")).to_have_text("1 concept approved.")
        expect(page.locator(".page-head .state")).to_have_text("approved")


def test_a_rejection_needs_a_reason_and_its_sender_reads_it(visit, town: Town) -> None:
    submission = town.submit("ada/rejected", approved=False)
    with visit("rita", expected={422}) as page:
        page.goto("/dashboard/concepts/ada/rejected/1")
        page.get_by_role("button", name="Reject").click()
        expect(page.get_by_role("alert")).to_contain_text("needs a reason")
        page.goto("/dashboard/concepts/ada/rejected/1")
        page.get_by_label("Reason for a rejection").fill("The consent names nobody.")
        page.get_by_role("button", name="Reject").click()
        expect(page.locator(".told")).to_have_text("1 concept rejected.")
    with visit("ada") as page:
        page.goto(f"/dashboard/submissions/{submission}")
        expect(page.locator("p.problem")).to_contain_text("The consent names nobody.")


def test_many_are_approved_at_once(visit, town: Town) -> None:
    names = [f"ada/many-{number}" for number in range(3)]
    for name in names:
        town.submit(name, approved=False)
    with visit("rita") as page:
        page.goto("/dashboard/concepts?state=pending_review&q=ada/many")
        expect(page.locator("#review [data-chosen]")).to_have_text("0")
        page.get_by_label("All that wait").check()
        expect(page.locator("#review [data-chosen]")).to_have_text("3")
        page.get_by_label("Choose ada/many-1 for review").uncheck()
        expect(page.locator("#review [data-chosen]")).to_have_text("2")
        page.get_by_role("button", name="Approve").click()
        assert told(page) == "2 concepts approved."
        # Back at the same list, of which one is left.
        assert "q=ada" in page.url
        expect(page.locator(".card")).to_have_count(1)


def test_searching_changes_the_list_without_loading_the_page_again(visit, town: Town) -> None:
    town.submit("ada/searched")
    with visit("bob") as page:
        page.goto("/dashboard/concepts")
        mark(page)
        page.keyboard.press("/")
        page.keyboard.type("ada/searc")
        expect(page.locator(".card")).to_have_count(1)
        expect(page).to_have_url(re.compile("q=ada%2Fsearc"))
        assert page.evaluate("window.stillHere")
        expect(page.get_by_role("searchbox")).to_be_focused()
        page.get_by_role("searchbox").fill("no concept is called so")
        expect(page.get_by_text("No concept fits.")).to_be_visible()


def test_a_member_sees_no_buttons_of_curators_and_a_hand_made_form_is_refused(
    visit, town: Town
) -> None:
    submission = town.submit("ada/hers", approved=False)
    with visit("ada") as page:
        page.goto("/dashboard/concepts/ada/hers/1")
        expect(page.get_by_role("button", name="Approve")).to_have_count(0)
        expect(page.get_by_role("button", name="Audit it")).to_have_count(0)
        csrf = page.locator("input[name=csrf]").first.input_value()
        answer = page.request.post(
            "/dashboard/concepts/review",
            form={"csrf": csrf, "decision": "approve", "submission": submission},
        )
        assert answer.status == 403
        page.reload()
        expect(page.locator(".page-head .state")).to_have_text("pending review")


def test_a_member_does_not_see_what_another_has_not_shown_yet(visit, town: Town) -> None:
    town.submit("ada/unseen", approved=False)
    with visit("bob", expected={404}) as page:
        page.goto("/dashboard/concepts?q=ada/unseen")
        expect(page.locator(".card")).to_have_count(0)
        assert page.goto("/dashboard/concepts/ada/unseen/1").status == 404


def test_the_overview_follows_what_waits_without_loading_it_again(visit, town: Town) -> None:
    with visit("rita") as page:
        page.goto("/dashboard/")
        mark(page)
        town.submit("ada/just-now", approved=False)
        expect(page.get_by_text("ada/just-now")).to_be_visible()
        assert page.evaluate("window.stillHere")
