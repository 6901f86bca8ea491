"""Every page is read by axe as members of every role see it; its colours in dark too."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from mos_center.dashboard.rights import PAGE_RIGHTS
from playwright.sync_api import Page
from scenes import SCENES, Scene, Scenery

# What these answer is no page.
PARTS = {
    "/static/{name}",
    "/overview/events",
    "/fusions/{fusion_id}/events",
    "/concepts/{owner}/{name}",
    "/concepts/{owner}/{name}/{version}/manifest.json",
    "/concepts/{owner}/{name}/{version}/previews/{file}",
    "/models/{name}/{revision}/pictures/{path:path}",
    "/models/{name}/{revision}/evaluations/events",
    "/evaluations/{evaluation_id}/grids/{number}",
    "/compositions/{composition_id}/events",
    "/compositions/{composition_id}/pictures/{number}",
}
REFUSED = {403, 404}


def violations(page: Page, rules: Sequence[str] = ()) -> list[dict[str, Any]]:
    """What axe has against the page with all that is folded away opened; no rules: all."""
    page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    only = {"runOnly": list(rules)} if rules else {}
    answer = Axe().run(page, options={"resultTypes": ["violations"], **only}).response
    found: list[dict[str, Any]] = answer["violations"]
    return [
        {"rule": one["id"], "impact": one["impact"], "help": one["help"],
         "where": [node["html"][:200] for node in one["nodes"][:3]]}
        for one in found
    ]  # fmt: skip


def test_every_page_is_among_the_scenes() -> None:
    pages = {page for method, page in PAGE_RIGHTS if method == "GET"}
    assert pages - PARTS == {scene.page for scene in SCENES if scene.page in pages}


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_axe_has_nothing_against_a_page(visit, scenery: Scenery, scene: Scene) -> None:
    for member in ("root", "rita", "ada"):
        with visit(member, expected=REFUSED, reduced_motion="reduce") as page:
            answer = page.goto(f"/dashboard/{scene.address(scenery)}")
            # Whoever is refused sees the same page as whoever asks for nothing.
            if answer.status == 403:
                continue
            found = violations(page)
            assert not found, f"{member}\n{json.dumps(found, indent=1)}"
            # An admin sees whatever there is: the others' colours are among those.
            if member == "root":
                page.emulate_media(color_scheme="dark")
                found = violations(page, ["color-contrast"])
                assert not found, f"dark\n{json.dumps(found, indent=1)}"
