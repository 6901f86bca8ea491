"""Takes pictures of the dashboard's pages with Chromium, as small files."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from world import World

CHROMIUM = "/usr/bin/chromium"
OPTIONS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
           "--disable-background-networking", "--disable-component-update",
           "--disable-sync")  # fmt: skip
DESK, PHONE = (1280, 800), (390, 780)
# A page goes on below its picture.
MOST_HIGH = 1500


@dataclass(frozen=True)
class Shot:
    """A picture: its file's name, the page, and how that is looked at."""

    name: str
    page: str
    member: str = "rita"
    scheme: str = "light"
    size: tuple[int, int] = DESK
    # What is done on the page before.
    act: Callable[[Page], object] = field(default=lambda page: None)


class Camera:
    """A browser that is logged in as several members."""

    def __init__(self, browser: Browser, world: World, out: Path) -> None:
        self._browser = browser
        self._world = world
        self._out = out

    def take(self, shot: Shot) -> None:
        """Open the page, wait until it is quiet, write the picture."""
        width, height = shot.size
        context = self._browser.new_context(
            base_url=self._world.url,
            viewport={"width": width, "height": height},
            color_scheme="dark" if shot.scheme == "dark" else "light",
            locale="en-GB",
        )
        if shot.member:
            token = self._world.tokens[shot.member]
            context.request.post("/dashboard/login", form={"token": token})
        page = context.new_page()
        page.goto(f"/dashboard/{shot.page}")
        shot.act(page)
        # Live pages are never quiet: what is loaded late has come by then.
        page.wait_for_load_state("load")
        time.sleep(0.7)
        high = page.evaluate("document.documentElement.scrollHeight")
        page.set_viewport_size({"width": width, "height": min(high, MOST_HIGH)})
        time.sleep(0.3)
        self._write(page.screenshot(), shot.name)
        context.close()

    def _write(self, png: bytes, name: str) -> None:
        with Image.open(io.BytesIO(png)) as image:
            small = image.convert("RGB").quantize(224, dither=Image.Dither.NONE)
            small.save(self._out / f"{name}.png", optimize=True)


@contextmanager
def camera(world: World, out: Path) -> Iterator[Camera]:
    """A camera whose pictures go to the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(OPTIONS))
        yield Camera(browser, world, out)
        browser.close()
