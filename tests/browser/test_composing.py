"""Drawing boxes on a canvas, with the mouse, fingers, keys or numbers, and what comes of them."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Locator, Page, expect
from test_without_scripts import log_in
from town import Town
from visiting import PHONE, is_marked, mark, visiting


@pytest.fixture(scope="module")
def model(town: Town) -> str:
    """A version of one concept, whose words are <boxed-1> <boxed-2>."""
    town.submit("ada/boxed", words=("<boxed-1>", "<boxed-2>"))
    town.fuse("boxed", "ada/boxed")
    return "boxed"


def canvas_point(page: Page, x: float, y: float) -> tuple[float, float]:
    """Shares of the picture's sides → a point of the screen."""
    page.locator("svg.canvas").scroll_into_view_if_needed()
    ground = page.locator("svg.canvas .ground").bounding_box()
    assert ground is not None
    return ground["x"] + x * ground["width"], ground["y"] + y * ground["height"]


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*canvas_point(page, *start))
    page.mouse.down()
    page.mouse.move(*canvas_point(page, *end), steps=6)
    page.mouse.up()


def region(page: Page, number: int) -> Locator:
    return page.locator("fieldset.region").nth(number - 1)


def sides(page: Page, number: int) -> list[int]:
    names = ("Left", "Top", "Right", "Bottom")
    return [int(region(page, number).get_by_label(name).input_value()) for name in names]


def near(found: list[int], wanted: list[int]) -> bool:
    return all(abs(one - other) <= 2 for one, other in zip(found, wanted, strict=True))


def test_two_boxes_are_drawn_with_the_mouse_and_become_pictures(visit, model: str) -> None:
    with visit("ada") as page:
        page.goto(f"/dashboard/models/{model}/1")
        page.get_by_role("link", name="Compose").click()
        page.get_by_label("What all of it shows").fill("a cat and a dog on the grass")
        page.get_by_label("Width").fill("128")
        page.get_by_label("Seeds").fill("1, 2")
        drag(page, (0.1, 0.1), (0.4, 0.9))
        drag(page, (0.6, 0.1), (0.9, 0.9))
        expect(page.locator("fieldset.region")).to_have_count(2)
        assert near(sides(page, 1), [13, 6, 51, 58])
        assert near(sides(page, 2), [77, 6, 115, 58])
        region(page, 1).get_by_label("Concept").select_option(
            label="ada/boxed: <boxed-1> <boxed-2>"
        )
        region(page, 1).get_by_label("Prompt").fill("on a chair")
        region(page, 2).get_by_label("Prompt").fill("a dog")

        # By its middle it is moved, by a corner resized.
        drag(page, (0.75, 0.5), (0.65, 0.5))
        assert near(sides(page, 2), [64, 6, 102, 58])
        drag(page, (102 / 128, 58 / 64), (1, 1))
        assert near(sides(page, 2), [64, 6, 128, 64])
        expect(page.locator("#verdict")).to_contain_text("Nothing stands against it")
        expect(page.locator("#scene-json")).to_contain_text("a <boxed-1> <boxed-2> on a chair")
        page.get_by_role("button", name="Draw it").click()

        expect(page.get_by_role("heading", level=1)).to_have_text("a cat and a dog on the grass")
        mark(page)
        expect(page.locator("#composition-state")).to_contain_text(
            "2 pictures drawn", timeout=60_000
        )
        assert is_marked(page)
        pictures = page.locator(".drawn img")
        expect(pictures).to_have_count(2)
        assert (
            pictures.first.evaluate("image => image.decode().then(() => image.naturalWidth)") == 128
        )
        expect(page.locator(".outlines").first).to_be_hidden()
        page.get_by_label("Show the regions").check()
        expect(page.locator(".outlines").first).to_be_visible()

        page.get_by_role("link", name="Again with changes").click()
        assert near(sides(page, 2), [64, 6, 128, 64])
        expect(page.get_by_label("Seeds")).to_have_value("1, 2")
        page.goto("/dashboard/compositions")
        expect(page.locator(".card").first).to_contain_text("a cat and a dog on the grass")


def test_what_is_wrong_is_told_at_once_and_nothing_is_queued(visit, model: str) -> None:
    with visit("ada") as page:
        page.goto(f"/dashboard/compositions/new?model={model}")
        mark(page)
        page.get_by_role("button", name="Add a region").click()
        region(page, 1).get_by_label("Prompt").fill("a <cat1>")
        expect(page.locator("#verdict")).to_contain_text("<cat1>")
        region(page, 1).get_by_label("Right").fill("700")
        expect(page.locator("#verdict")).to_contain_text("region `region-1`")
        expect(page.get_by_role("button", name="Draw it")).to_be_disabled()
        region(page, 1).get_by_label("Prompt").fill("a cat")
        region(page, 1).get_by_label("Right").fill("32")
        expect(page.get_by_role("button", name="Draw it")).to_be_enabled()
        assert is_marked(page)


def test_boxes_are_moved_resized_and_removed_by_keys(visit, model: str) -> None:
    with visit("ada") as page:
        page.goto(f"/dashboard/compositions/new?model={model}")
        page.get_by_role("button", name="Add a region").click()
        assert sides(page, 1) == [0, 0, 32, 64]
        box = page.get_by_role("application")
        box.focus()
        page.keyboard.press("Shift+ArrowUp")
        assert sides(page, 1) == [0, 0, 32, 56]
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowDown")
        assert sides(page, 1) == [8, 8, 40, 64]
        page.keyboard.press("ArrowDown")
        assert sides(page, 1) == [8, 8, 40, 64]
        expect(box).to_have_accessible_name("Box 1, region-1: left 8, top 8, right 40, bottom 64")
        page.keyboard.press("Delete")
        expect(page.locator("fieldset.region")).to_have_count(0)
        expect(box).to_have_count(0)
        assert "regions" not in json.loads(page.locator("#scene-json").text_content() or "{}")


def test_a_finger_draws_on_a_phone(visit, model: str) -> None:
    with visit("ada", viewport=PHONE, has_touch=True, is_mobile=True) as page:
        page.goto(f"/dashboard/compositions/new?model={model}")
        canvas_point(page, 0, 0)
        points = [canvas_point(page, share, share) for share in (0.2, 0.5, 0.8)]
        session = page.context.new_cdp_session(page)
        for kind, point in zip(("touchStart", "touchMove", "touchMove"), points, strict=True):
            touch = [{"x": point[0], "y": point[1]}]
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touch})
        session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        assert near(sides(page, 1), [13, 13, 51, 51])
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_numbers_alone_draw_a_scene_without_scripts(browser, town: Town, model: str) -> None:
    with visiting(browser, town.url, expected={422}, java_script_enabled=False) as page:
        log_in(page, town.tokens["bob"])
        page.goto(f"/dashboard/compositions/new?model={model}&version=1")
        page.get_by_label("What all of it shows").fill("a cat on the grass")
        page.get_by_role("button", name="Add a region").click()
        page.get_by_role("button", name="Add a region").click()
        region(page, 1).get_by_label("Prompt").fill("a cat")
        region(page, 1).get_by_label("Right").fill("20")
        page.get_by_role("button", name="Show and check").click()
        expect(page.locator("svg.canvas .box rect").first).to_have_attribute("width", "20")
        page.get_by_role("button", name="Remove region 2").click()
        expect(page.locator("fieldset.region")).to_have_count(1)
        region(page, 1).get_by_label("Right").fill("200")
        page.get_by_role("button", name="Draw it").click()
        expect(page.locator(".faults")).to_contain_text("region `region-1`")
        region(page, 1).get_by_label("Right").fill("40")
        page.get_by_role("button", name="Draw it").click()
        expect(page.locator("#composition-state")).to_be_visible()
        with town.session("bob") as bob:
            *_, ended = bob.watch_composition(page.url.rpartition("/")[2])
        assert ended.state == "done"
        page.reload()
        expect(page.locator(".drawn img")).to_have_count(1)


def test_other_people_s_compositions_are_not_there(visit, town: Town, model: str) -> None:
    with town.session("ada") as ada:
        composition = ada.request_composition(model, {"prompt": "a cat", "size": [64, 64]})
    address = f"/dashboard/compositions/{composition.id}"
    with visit("bob", expected={404}) as page:
        for path in (
            address,
            f"{address}/pictures/0",
            f"/dashboard/compositions/new?from={composition.id}",
        ):
            answer = page.goto(path)
            assert answer is not None
            assert answer.status == 404
    with visit("root") as page:
        page.goto(address)
        expect(page.locator("dl.facts")).to_contain_text("by ada")
