from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from center_steps import fuse
from mos_center.domain.models import Fusion, Submission
from mos_center.service.center import Center


@pytest.fixture
def fusion(running: Any, center: Center, submit: Callable[..., Submission]) -> Fusion:
    """A published fusion, with two events."""
    submit()
    return fuse(center, running.data, "demo", ["ada/potter@1"])


async def test_what_happened_to_a_fusion_is_listed_oldest_first_in_pages(
    running: Any, fusion: Fusion
) -> None:
    seen: list[dict[str, Any]] = []
    after = 0
    while after is not None:
        params = {"after": after, "limit": 1}
        page = (await running.http.get(f"/v1/fusions/{fusion.id}/log", params=params)).json()
        seen += page["items"]
        after = page["next_after"]

    assert [(event["seq"], event["kind"], event["data"]) for event in seen] == [
        (1, "requested", {"by": "local"}),
        (2, "published", {"version": 1}),
    ]
    assert {(event["generation"], event["attempt"], event["step"]) for event in seen} == {
        (0, 0, "")
    }


async def test_a_fusion_that_is_not_there_has_no_log(running: Any) -> None:
    answer = await running.http.get("/v1/fusions/nothing/log")

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
