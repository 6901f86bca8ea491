"""Without a mouse, and on a narrow screen."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect
from scenes import SCENES, Scene, Scenery
from town import Town
from visiting import PHONE

LONGEST_WALK = 120


def walk_to(page: Page, name: str) -> None:
    """Press Tab until what has the focus is called so."""
    for _ in range(LONGEST_WALK):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            "(document.activeElement.ariaLabel || document.activeElement.innerText || '').trim()"
        )
        if focused == name:
            return
    raise AssertionError(f"Tab never led to {name!r}")


def test_a_concept_is_found_and_approved_without_a_mouse(visit, town: Town) -> None:
    town.submit("ada/by-keyboard", approved=False)
    with visit() as page:
        page.goto("/dashboard/login?then=/dashboard/concepts")
        page.keyboard.type(town.tokens["rita"])
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("Concepts")
        page.wait_for_load_state("load")
        page.keyboard.press("/")
        page.keyboard.type("ada/by-keyb")
        expect(page.locator(".card")).to_have_count(1)
        walk_to(page, "ada/by-keyboard@1")
        page.keyboard.press("Enter")
        page.wait_for_url("**/dashboard/concepts/ada/by-keyboard/1")
        walk_to(page, "Approve")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none"
        page.keyboard.press("Enter")
        expect(page.locator(".page-head .state")).to_have_text("approved")


def test_the_first_tab_skips_to_the_content(visit) -> None:
    with visit("ada") as page:
        page.goto("/dashboard/models")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_a_phone_never_scrolls_a_page_sideways(visit, scenery: Scenery, scene: Scene) -> None:
    phone = {"viewport": PHONE, "is_mobile": True, "has_touch": True}
    with visit("root", expected={404}, **phone) as page:
        page.goto(f"/dashboard/{scene.address(scenery)}")
        for details in page.locator("details").all():
            details.evaluate("one => (one.open = true)")
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= PHONE["width"], page.evaluate(WHO_IS_WIDE)


WHO_IS_WIDE = """
[...document.querySelectorAll("main *, header *")]
  .filter((one) => one.getBoundingClientRect().right > innerWidth + 1)
  .slice(0, 8).map((one) => `${one.tagName}.${one.className}: ${one.innerText.slice(0, 40)}`)
"""
