from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest
from mos_center.domain.access import LOCAL, Role
from mos_center.service.center import Center
from mos_protocol.error_catalogue import CATALOGUE
from mos_protocol.errors import EDGES


class _Text(HTMLParser):
    """Collects what a reader sees."""

    text = ""

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("code", sorted(EDGES))
async def test_every_kind_of_problem_has_a_page(running: Any, code: str) -> None:
    page = await running.http.get(f"/errors/{code}")

    reader = _Text()
    reader.feed(page.text)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert CATALOGUE[code].title in reader.text
    assert CATALOGUE[code].remedy.replace("`", "") in reader.text


async def test_a_problem_leads_to_its_page_without_a_token(running: Any, center: Center) -> None:
    center.members.add("ada", Role.ADMIN, caller=LOCAL)
    center.tokens.create("ada", "default", caller=LOCAL)

    problem = (await running.http.get("/v1/bases")).json()
    page = await running.http.get(problem["type"])

    assert problem["type"] == "/errors/unauthenticated"
    assert problem["title"] == CATALOGUE["unauthenticated"].title
    assert page.status_code == 200


async def test_a_page_that_is_not_there_is_a_problem(running: Any) -> None:
    for code in ("nothing", "<script>", "x" * 70):
        answer = await running.http.get(f"/errors/{code}")
        assert answer.status_code in (404, 422), code
        assert answer.headers["content-type"] == "application/problem+json"
