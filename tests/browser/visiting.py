"""A person with a browser: logs in, looks at pages, and notices whatever goes wrong on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, Playwright

CHROMIUM = Path("/usr/bin/chromium")
OPTIONS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
           "--disable-background-networking", "--disable-component-update",
           "--disable-sync")  # fmt: skip
PATIENCE_MS = 15_000
PHONE = {"width": 390, "height": 780}


@dataclass
class Watch:
    """Whatever a page did that none should do; `expected` are answers that tests provoke."""

    host: str
    expected: set[int] = field(default_factory=set)
    troubles: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def follow(self, page: Page) -> None:
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.troubles.append(f"script: {error}"))
        page.on("request", lambda request: self._on_request(request.url))
        page.on("dialog", self._on_dialog)

    def _on_console(self, message: Any) -> None:
        refused = any(f"status of {status}" in message.text for status in self.expected)
        if message.type in ("error", "warning") and not refused:
            self.troubles.append(f"console: {message.text}")

    def _on_request(self, url: str) -> None:
        self.requests.append(url)
        if urlsplit(url).netloc != self.host:
            self.troubles.append(f"request: {url}")

    def _on_dialog(self, dialog: Any) -> None:
        self.troubles.append(f"dialog: {dialog.message}")
        dialog.dismiss()


def launch(playwright: Playwright) -> Browser:
    """Debian's Chromium; without it these tests fail."""
    assert CHROMIUM.exists(), (
        "These tests need a browser and found none: install Debian's packages chromium and "
        "fonts-dejavu-core (apt-get install -y chromium fonts-dejavu-core)."
    )
    return playwright.chromium.launch(executable_path=CHROMIUM, args=list(OPTIONS))


@contextmanager
def visiting(
    browser: Browser, url: str, token: str | None = None, *, expected: set[int] | None = None,
    **options: Any,
) -> Iterator[Page]:  # fmt: skip
    """A page of the dashboard at `url`, logged in with the token; fails when trouble was seen.

    `expected`: answers, such as 403, that the test provokes. `options` are a context's.
    """
    watch = Watch(urlsplit(url).netloc, expected or set())
    context = browser.new_context(base_url=url, **options)
    context.set_default_timeout(PATIENCE_MS)
    context.on("page", watch.follow)
    if token is not None:
        answer = context.request.post("/dashboard/login", form={"token": token})
        assert answer.ok, answer.text()
    page = context.new_page()
    yield page
    context.close()
    assert not watch.troubles, "\n".join(watch.troubles)


def mark(page: Page) -> None:
    """Leave something in the page that a reload would wipe out."""
    page.evaluate("window.stillHere = true")


def is_marked(page: Page) -> bool:
    """Whether it is the page that was marked, never loaded again since."""
    return bool(page.evaluate("window.stillHere === true"))


def told(page: Page) -> str:
    """The sentence on top of the page that says what was done."""
    return page.locator(".told").inner_text()
