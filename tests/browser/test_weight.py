"""What a page weighs on the wire, with all that a browser loads for it, when a center is full."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from crowd import ADMIN, Crowd
from crowd.addresses import addresses
from mos_center.settings import Settings
from playwright.sync_api import Browser, Page
from programs import serving
from visiting import visiting

LARGEST_PAGE = 200_000
# Whoever looks at the files themselves gets them as they are.
FILES = {
    "/concepts/{owner}/{name}/{version}/manifest.json",
    "/concepts/{owner}/{name}/{version}/previews/{file}",
    "/models/{name}/{revision}/pictures/{path:path}",
    "/evaluations/{evaluation_id}/grids/{number}",
    "/compositions/{composition_id}/pictures/{number}",
}


@pytest.fixture(scope="module")
def full_center(crowded: tuple[Settings, Crowd]) -> Iterator[tuple[str, Crowd]]:
    """The crowd's center in a process of its own."""
    settings, crowd = crowded
    with serving(settings.data, worker="false", rate_limit="0") as center:
        yield center.url, crowd


def weighed(page: Page, address: str) -> int:
    """Bytes that came over the wire for the page, loaded with an empty cache."""
    devtools = page.context.new_cdp_session(page)
    devtools.send("Network.enable")
    devtools.send("Network.setCacheDisabled", {"cacheDisabled": True})
    sizes: list[float] = []
    devtools.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    page.goto(address, wait_until="load")
    # What is loaded late, and the pictures that are in sight.
    page.wait_for_timeout(400)
    devtools.detach()
    assert sizes
    return round(sum(sizes))


def test_every_page_weighs_little_with_all_that_belongs_to_it(
    browser: Browser, full_center: tuple[str, Crowd]
) -> None:
    url, crowd = full_center
    weights = {}
    with visiting(browser, url, crowd.token_of(ADMIN), expected={404}) as page:
        for template, paths in addresses(crowd).items():
            if template not in FILES:
                weights[paths[0]] = weighed(page, f"/dashboard{paths[0]}")
    heavy = {path: size for path, size in weights.items() if size > LARGEST_PAGE}
    assert not heavy
    # Otherwise nothing was weighed.
    assert min(weights.values()) > 10_000
