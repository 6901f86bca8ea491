"""What tests of the dashboard do again and again: log in, send forms as a browser does."""

from __future__ import annotations

import re
from typing import Any

import httpx
from mos_center.domain.access import LOCAL, Role
from mos_center.domain.policy import Review
from mos_center.service.center import Center

MARKUP = '<script>alert("1")</script>'


def token_of(center: Center, name: str, role: Role = Role.MEMBER) -> str:
    """A new member's token for all that the role can do."""
    center.members.add(name, role, caller=LOCAL)
    return center.tokens.create(name, "laptop", caller=LOCAL)[0]


async def log_in(
    browser: httpx.AsyncClient, center: Center, name: str = "rita", role: Role = Role.CURATOR
) -> httpx.Response:
    """Log a new member in; returns the page that it is led to."""
    return await browser.post("/dashboard/login", data={"token": token_of(center, name, role)})


def csrf(page: httpx.Response) -> str:
    """The secret that the page's forms carry."""
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', page.text)
    assert found is not None, page.text
    return found[1]


async def send(
    browser: httpx.AsyncClient, page: httpx.Response, path: str, **fields: Any
) -> httpx.Response:
    """Send a form of the page to a path below /dashboard; lists are sent as several fields."""
    return await browser.post(f"/dashboard{path}", data={"csrf": csrf(page), **fields})


def review_by_hand(running: Any) -> Center:
    """The center of `running`, with packages that wait for review."""
    changes = {"review": Review.MANUAL, "require_statements": False}
    running.data.settings = running.data.settings.model_copy(update=changes)
    center: Center = running.data.center()
    return center
