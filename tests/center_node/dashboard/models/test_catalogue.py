from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from callers import ADA
from dashboard_steps import log_in, send
from mos_center.dashboard.models.catalogue import PAGE
from mos_center.domain.access import LOCAL, Role, Visibility
from mos_center.domain.models import Submission
from mos_center.service.center import Center
from published import published


@pytest.fixture
def concepts(center: Center, submit: Callable[..., Submission]) -> None:
    """ada's potter, which everybody sees, and her private cat."""
    submit(concept="ada/potter", words=("<potter>",))
    submit(concept="ada/cat", words=("<cat>",))
    center.concepts.show("ada", "potter", Visibility.PUBLIC, caller=LOCAL)


@pytest.fixture
def demo(center: Center, running: Any, concepts: None) -> None:
    """Three versions of ada's model demo."""
    for ref in (["ada/potter@1"], ["ada/cat@1"], ["ada/potter@1", "ada/cat@1"]):
        published(center, running, "demo", dict.fromkeys(ref, 0.75), caller=ADA)


def names(page: httpx.Response) -> list[str]:
    """The versions of the cards, in their order."""
    found = re.findall(r'<h3><a href="/dashboard/models/([^"]+)">', page.text)
    return [item.replace("/", "@") for item in found]


async def test_without_models_the_page_says_how_one_comes_about(browser: httpx.AsyncClient) -> None:
    page = await browser.get("/dashboard/models")

    assert "No model yet." in page.text
    assert "/dashboard/fusions/new" in page.text


async def test_every_model_is_shown_by_its_newest_version(
    browser: httpx.AsyncClient, running: Any, center: Center, demo: None
) -> None:
    published(center, running, "bare", {"ada/potter@1": 0.5}, previews=False)
    center.aliases.point("demo", "champion", 3, ADA)

    page = await browser.get("/dashboard/models")

    assert names(page) == ["bare@1", "demo@3"]
    for shown in ("champion", "ada/cat@1", "by ada", "on small", "no preview"):
        assert shown in page.text
    (picture,) = re.findall(r'<img src="([^"]+pictures[^"]+)"', page.text)
    answer = await browser.get(picture)
    assert answer.headers["content-type"] == "image/webp"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["zoo@1", "demo@3"]),
        ("?sort=name", ["demo@3", "zoo@1"]),
        ("?q=ZOO", ["zoo@1"]),
        ("?q=%3Ccat%3E", ["demo@3"]),
        ("?q=ada/po", ["zoo@1", "demo@3"]),
        ("?concept=ada/cat", ["demo@3"]),
        ("?owner=ada", ["demo@3"]),
        ("?base=other", []),
        ("?sort=name&after=demo", ["zoo@1"]),
        ("?after=zoo", ["demo@3"]),
        ("?sort=strange", ["zoo@1", "demo@3"]),
    ],
)
async def test_filters_are_in_the_address(
    browser: httpx.AsyncClient,
    running: Any,
    center: Center,
    demo: None,
    query: str,
    expected: list[str],
) -> None:
    published(center, running, "zoo", {"ada/potter@1": 0.5})

    page = await browser.get(f"/dashboard/models{query}")

    assert names(page) == expected
    assert ("No model fits." in page.text) is not expected


async def test_a_long_list_comes_in_pages(
    browser: httpx.AsyncClient, running: Any, center: Center, concepts: None
) -> None:
    for number in range(PAGE + 1):
        published(center, running, f"model-{number:02d}", {"ada/potter@1": 0.5}, previews=False)

    first = await browser.get("/dashboard/models?sort=name")
    (more,) = re.findall(r'href="([^"]+)" rel="next"', first.text)
    second = await browser.get(more.replace("&amp;", "&"))

    assert len(names(first)) == PAGE
    assert names(second) == [f"model-{PAGE:02d}@1"]
    assert 'rel="next"' not in second.text


async def test_a_member_sees_the_versions_that_it_may_read(
    browser: httpx.AsyncClient, center: Center, demo: None
) -> None:
    await log_in(browser, center, "ben", Role.MEMBER)

    listed = await browser.get("/dashboard/models")
    model = await browser.get("/dashboard/models/demo")

    assert names(listed) == ["demo@1"]
    assert "@3" not in model.text
    assert "Move or make the alias" not in model.text
    assert (await browser.get("/dashboard/models/demo/3")).status_code == 404


async def test_a_model_shows_its_versions_and_how_to_compare_them(
    browser: httpx.AsyncClient, center: Center, demo: None
) -> None:
    center.models.tombstone("demo", "2", "wrong weights", caller=ADA)

    page = await browser.get("/dashboard/models/demo")

    assert re.findall(r'<th scope="row"><a [^>]+>(@\d)</a>', page.text) == ["@3", "@2", "@1"]
    assert 'title="wrong weights"' in page.text
    checked = re.findall(r'name="(\w+)" value="([^"]+)"[^>]* checked', page.text)
    assert dict(checked) == {"right": "demo@3", "left": "demo@2"}
    older = await browser.get("/dashboard/models/demo?before=2")
    assert re.findall(r'<th scope="row"><a [^>]+>(@\d)</a>', older.text) == ["@1"]
    assert (await browser.get("/dashboard/models/demo?before=1")).status_code == 404


async def test_aliases_are_moved_rolled_back_and_removed(
    browser: httpx.AsyncClient, center: Center, demo: None
) -> None:
    page = await browser.get("/dashboard/models/demo")

    moved = await send(browser, page, "/models/demo/aliases", alias="champion", version="1")
    assert "champion means demo@1 now." in moved.text
    again = await send(
        browser, moved, "/models/demo/aliases", alias="champion", version="3", from_version="1"
    )
    assert again.url.path == "/dashboard/models/demo/3"
    back = await send(browser, again, "/models/demo/aliases/champion/rollback")
    assert "champion means demo@1 again." in back.text
    assert len(re.findall(r"to @\d by local", back.text)) == 3
    gone = await send(browser, back, "/models/demo/aliases/champion/remove")
    assert "champion is removed" in gone.text
    assert [item.version for item in center.models.versions("demo", caller=LOCAL)] == [3, 2, 1]
    assert "champion" not in center.models.get("demo", "1", caller=LOCAL).aliases


@pytest.mark.parametrize("version", ["", "0", "three", "\N{SUPERSCRIPT TWO}", "9" * 12])
async def test_what_is_no_version_is_said_so(
    browser: httpx.AsyncClient, demo: None, version: str
) -> None:
    page = await browser.get("/dashboard/models/demo")

    answer = await send(browser, page, "/models/demo/aliases", alias="champion", version=version)

    assert answer.status_code == 422
    assert "Versions are whole numbers from 1." in answer.text


async def test_others_can_not_move_aliases(
    browser: httpx.AsyncClient, center: Center, demo: None
) -> None:
    center.aliases.point("demo", "champion", 1, ADA)
    await log_in(browser, center, "ben", Role.MEMBER)
    page = await browser.get("/dashboard/models/demo")

    for path in ("", "/champion/rollback", "/champion/remove"):
        answer = await send(
            browser, page, f"/models/demo/aliases{path}", alias="champion", version="1"
        )
        assert answer.status_code == 403, path
    assert "champion" in page.text
    assert "Roll back" not in page.text
