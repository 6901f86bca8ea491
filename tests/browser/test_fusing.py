"""Asking for a fusion, watching it, and what to do when it goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

from playwright.sync_api import Locator, Page, expect
from town import BASE, Town
from visiting import is_marked, mark

WATCH_CELLS = """
window.filled = [];
const count = () => document.querySelectorAll(".heat-map td:not(.pending)").length;
new MutationObserver(() => window.filled.push(count()))
  .observe(document.querySelector(".job"), { childList: true, subtree: true });
"""
# Long enough to be watched; they leave nothing to download.
SLOW = {"solver": "lbfgs", "lbfgs_steps": {"text_encoder": 900, "cross_kv": 900, "spatial": 900}}


def add(page: Page, ref: str) -> None:
    """Search for a concept in the form, and add it."""
    page.get_by_label("Search approved concepts").fill(ref.partition("@")[0])
    page.get_by_role("button", name=f"Add {ref}").click()
    expect(page.locator("ol.chosen")).to_contain_text(ref)


def weight_of(page: Page, name: str) -> Locator:
    """The field of a concept's weight, or of one part of it."""
    return page.locator(f'[name="weight.{name}"]')


@contextmanager
def worker_busy(town: Town) -> Iterator[str]:
    """Something else runs meanwhile, so that requests wait; yields its id."""
    town.submit("bob/slow")
    with town.session("bob") as bob:
        fusion = bob.request_fusion("slow", BASE, ["bob/slow"], **SLOW)
        try:
            yield fusion.id
        finally:
            if not bob.fusion(fusion.id).state.final:
                bob.cancel_fusion(fusion.id)


def test_two_concepts_with_one_word_are_told_before_anything_is_queued(visit, town: Town) -> None:
    words = {"words": ("<same-1>", "<same-2>")}
    town.submit("ada/first", **words)
    town.submit("bob/second", package=1, **words)
    with visit("ada") as page:
        page.goto("/dashboard/fusions/new")
        mark(page)
        expect(page.get_by_role("button", name="Queue fusion")).to_be_disabled()
        page.get_by_label("Name of the model").fill("same-word")
        add(page, "ada/first@1")
        expect(page.locator("#verdict")).to_contain_text("becomes same-word@1")
        expect(page.get_by_role("button", name="Queue fusion")).to_be_enabled()

        add(page, "bob/second@1")

        expect(page.locator("ol.chosen")).to_contain_text("share the words <same-1> <same-2>")
        expect(page.get_by_role("button", name="Queue fusion")).to_be_disabled()
        page.get_by_role("button", name="Remove bob/second@1").click()
        expect(page.get_by_role("button", name="Queue fusion")).to_be_enabled()
        assert is_marked(page)


def test_settings_that_the_fuse_method_has_no_use_for_are_hidden(visit, town: Town) -> None:
    with visit("ada") as page:
        page.goto("/dashboard/fusions/new")
        solver, mix = page.get_by_label("Solver of gradient"), page.get_by_label("Mix of weight")
        expect(solver).to_be_visible()
        expect(mix).to_be_hidden()

        page.get_by_label("Fuse method").select_option("weight-average")

        expect(mix).to_be_visible()
        expect(solver).to_be_hidden()
        expect(page.get_by_label("Weight of the prior")).to_be_hidden()


def test_a_fusion_is_requested_with_weights_and_watched_to_its_end(visit, town: Town) -> None:
    town.submit("ada/mug")
    town.submit("bob/cat", package=1)
    with visit("ada") as page:
        page.goto("/dashboard/concepts?q=ada/mug")
        page.get_by_label("Choose ada/mug to fuse").check()
        page.get_by_role("button", name="Fuse them").click()
        add(page, "bob/cat@1")
        page.get_by_label("Name of the model").fill("pair")
        weight_of(page, "ada/mug@1").fill("0.8")
        page.locator("ol.chosen details").nth(1).locator("summary").click()
        weight_of(page, "spatial.bob/cat@1").fill("0.5")
        page.get_by_label("Solver").select_option("lbfgs")
        page.get_by_text("More settings").click()
        for part in ("Text encoder", "Cross kv", "Spatial"):
            page.get_by_role("group", name="Steps of lbfgs").get_by_label(part).fill("400")
        expect(page.locator("#verdict")).to_contain_text("becomes pair@1")
        page.get_by_role("button", name="Queue fusion").click()

        expect(page.get_by_role("heading", level=1)).to_have_text("Fusion of pair")
        mark(page)
        page.evaluate(WATCH_CELLS)
        expect(page.locator("#job-state")).to_contain_text("Published as", timeout=120_000)

        assert is_marked(page)
        filled = page.evaluate("window.filled")
        assert all(before <= after for before, after in pairwise(filled))
        assert len(set(filled)) > 2
        assert filled[-1] == page.locator(".heat-map td").count()
        expect(page.locator("#job-steps .pending, #job-steps .running")).to_have_count(0)
        expect(page.locator("#job-log")).to_contain_text("requested by ada")
        expect(page.locator(".chips").first).to_contain_text("ada/mug@1 × 0.8")
        page.get_by_role("link", name="Look at pair@1").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("pair@1")


def test_the_list_of_fusions_goes_on_by_itself_and_keeps_the_focus(visit, town: Town) -> None:
    town.submit("ada/listed")
    with visit("ada") as page, worker_busy(town):
        with town.session("ada") as ada:
            fusion = ada.request_fusion("listed", BASE, ["ada/listed"])
        page.goto("/dashboard/fusions?q=listed")
        mark(page)
        row = page.locator("tr", has_text="listed")
        expect(row).to_contain_text("queued")
        page.locator(f"#fusion-{fusion.id}").focus()
        with town.session("ada") as ada:
            ada.cancel_fusion(fusion.id)
        expect(row).to_contain_text("cancelled")
        assert is_marked(page)
        expect(page.locator(f"#fusion-{fusion.id}")).to_be_focused()


def test_a_fusion_that_waits_is_cancelled(visit, town: Town) -> None:
    town.submit("ada/cancelled")
    with visit("ada") as page, worker_busy(town):
        with town.session("ada") as ada:
            fusion = ada.request_fusion("cancelled", BASE, ["ada/cancelled"])
        page.goto(f"/dashboard/fusions/{fusion.id}")
        expect(page.locator("#job-state")).to_contain_text("in the queue")
        page.get_by_role("button", name="Cancel it").click()
        expect(page.locator(".told")).to_contain_text("is cancelled")
        expect(page.locator("#job-state")).to_contain_text("It was cancelled")
        expect(page.get_by_role("button", name="Cancel it")).to_have_count(0)


def test_a_failed_fusion_says_why_and_is_tried_again(visit, town: Town) -> None:
    # Another package than the busy worker's: files of the same content are one.
    town.submit("ada/broken", package=1)
    blob = town.blob("ada/broken@1", "moments/unet.mid_block.safetensors")
    away = blob.with_suffix(".away")
    with visit("ada") as page, worker_busy(town) as busy:
        with town.session("ada") as ada:
            fusion = ada.request_fusion("broken", BASE, ["ada/broken"])
        blob.rename(away)
        page.goto(f"/dashboard/fusions/{fusion.id}")
        mark(page)
        with town.session("bob") as bob:
            bob.cancel_fusion(busy)
        expect(page.locator("#job-state")).to_contain_text("It failed", timeout=60_000)
        assert is_marked(page)
        expect(page.locator("#job-state p.problem")).to_contain_text("is not in the store")
        expect(page.locator("#job-state")).to_contain_text("What to do next")

        away.rename(blob)
        page.get_by_role("button", name="Retry it").click()

        expect(page.locator("#job-state")).to_contain_text("Published as", timeout=60_000)


def test_numbers_that_can_not_be_read_are_told_and_nothing_typed_is_lost(visit, town: Town) -> None:
    town.submit("ada/typed")
    with visit("ada") as page:
        page.goto("/dashboard/fusions/new?concept=ada/typed@1&model=typed")
        weight_of(page, "ada/typed@1").fill("one")
        expect(page.locator("ol.chosen")).to_contain_text("Error")
        expect(page.get_by_role("button", name="Queue fusion")).to_be_disabled()
        expect(weight_of(page, "ada/typed@1")).to_have_value("one")
        weight_of(page, "ada/typed@1").fill("1.5")
        expect(page.get_by_role("button", name="Queue fusion")).to_be_enabled()


def test_another_member_can_watch_but_not_cancel(visit, town: Town) -> None:
    town.submit("ada/watched")
    with visit("bob") as page, worker_busy(town):
        with town.session("ada") as ada:
            fusion = ada.request_fusion("watched", BASE, ["ada/watched"])
        page.goto(f"/dashboard/fusions/{fusion.id}")
        expect(page.locator("#job-state")).to_contain_text("queued")
        expect(page.get_by_role("button", name="Cancel it")).to_have_count(0)
        page.goto("/dashboard/tokens")
        csrf = page.locator("input[name=csrf]").first.input_value()
        cancel = f"/dashboard/fusions/{fusion.id}/cancel"
        assert page.request.post(cancel, form={"csrf": csrf}).status == 403
        with town.session("ada") as ada:
            assert ada.fusion(fusion.id).state == "queued"
