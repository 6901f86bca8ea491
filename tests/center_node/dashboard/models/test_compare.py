from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from callers import ADA
from dashboard_steps import log_in
from mos_center.domain.access import LOCAL, Role, Visibility
from mos_center.domain.models import Submission
from mos_center.service.center import Center
from published import published

COMPARE = "/dashboard/models/compare"


@pytest.fixture
def versions(center: Center, running: Any, submit: Callable[..., Submission]) -> None:
    """demo@1 of potter, which everybody sees, and demo@2 of potter and a private cat."""
    submit(concept="ada/potter", words=("<potter>",))
    submit(concept="ada/cat", words=("<cat>",))
    center.concepts.show("ada", "potter", Visibility.PUBLIC, caller=LOCAL)
    published(center, running, "demo", {"ada/potter@1": 0.5}, caller=ADA)
    published(center, running, "demo", {"ada/potter@1": 0.75, "ada/cat@1": 0.9}, caller=ADA)


async def test_two_versions_stand_side_by_side(browser: httpx.AsyncClient, versions: None) -> None:
    page = await browser.get(f"{COMPARE}?left=demo@1&right=demo@latest")

    assert "50.0 %" in page.text
    assert "75.0 %" in page.text
    assert '<span class="gain">+25.0</span>' in page.text
    assert "not in it" in page.text
    texts = re.findall(r'<img src="[^"]+" alt="([^"]+)"', page.text)
    assert texts == ["ada/potter in demo@1", "ada/potter in demo@2", "ada/cat in demo@2"]
    assert "no preview of ada/cat in demo@1" in page.text
    assert "3 files alike, 1 that differs." in page.text


async def test_without_versions_the_page_asks_for_them(browser: httpx.AsyncClient) -> None:
    page = await browser.get(COMPARE)

    assert page.status_code == 200
    assert "Name two versions." in page.text
    assert 'role="alert"' not in page.text


@pytest.mark.parametrize(
    ("query", "problems"),
    [
        ("left=demo@1&right=demo@7", ["There is no model demo@7."]),
        ("left=Demo&right=demo@9", ["&#39;Demo&#39; is no valid model name.", "demo@9"]),
        ("left=demo@1", []),
        ("left=%3Cscript%3E&right=demo", ["&#39;&lt;script&gt;&#39; is no valid model name."]),
    ],
)
async def test_wrong_input_is_told_at_its_field(
    browser: httpx.AsyncClient, versions: None, query: str, problems: list[str]
) -> None:
    page = await browser.get(f"{COMPARE}?{query}")

    told = re.findall(r'<p class="problem"[^>]*>([^<]+)</p>', page.text)
    assert page.status_code == 200
    assert len(told) == len(problems)
    assert all(problem in text for problem, text in zip(problems, told, strict=True))
    assert "Both at a glance" not in page.text


async def test_a_version_that_is_hidden_is_told_like_one_that_is_not_there(
    browser: httpx.AsyncClient, center: Center, versions: None
) -> None:
    await log_in(browser, center, "ben", Role.MEMBER)

    page = await browser.get(f"{COMPARE}?left=demo@1&right=demo@2")

    assert "There is no model demo@2." in page.text
    assert "ada/cat" not in page.text
