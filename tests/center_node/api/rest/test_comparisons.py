from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from center_steps import publish_as
from mos_center.domain.models import Submission
from mos_center.service.center import Center
from mos_center.service.fusion_requests import FusionRequest, WantedConcept
from mos_protocol.part_weights import PartWeights
from reports import small_report


@pytest.fixture(autouse=True)
def versions(running: Any, center: Center, submit: Callable[..., Submission]) -> None:
    """Two versions of demo, the second with half of a part's weight."""
    submit()
    half = PartWeights(spatial=0.5)
    for weights, kept, card in ((PartWeights(), 0.5, b"# 1"), (half, 1.0, b"2")):
        wanted = FusionRequest("demo", "small", [WantedConcept("ada/potter", weights=weights)])
        report = small_report({"ada/potter@1": kept})
        publish_as(center, running.data, wanted, {"README.md": card, "same": b""}, report)


async def test_two_versions_are_compared(running: Any) -> None:
    answer = await running.http.get("/v1/comparisons?left=demo@1&right=demo")

    found = answer.json()
    assert [found[side]["version"] for side in ("left", "right")] == [1, 2]
    assert found["concepts"] == [
        {
            "name": "ada/potter",
            "differs": True,
            "gain": 0.5,
            "left": {
                "version": 1,
                "weight": 1.0,
                "kept": 0.5,
                "kept_by_part": {"text_encoder": 0.5, "spatial": 0.5},
            },
            "right": {
                "version": 1,
                "weight": {"text_encoder": 1.0, "cross_kv": 1.0, "spatial": 0.5},
                "kept": 1.0,
                "kept_by_part": {"text_encoder": 1.0, "spatial": 1.0},
            },
        }
    ]
    assert found["residuals"][0] == {"part": "text_encoder", "left": 0.125, "right": 0.125}
    assert [item["path"] for item in found["files"]] == ["README.md"]
    assert (found["left_size"], found["right_size"], found["same_files"]) == (3, 1, 1)
    assert (found["same_base"], found["settings"]) == (True, [])


@pytest.mark.parametrize(
    ("query", "status"),
    [("left=demo@1", 422), ("left=demo@1&right=a%20b", 422), ("left=demo@1&right=demo@3", 404)],
)
async def test_what_can_not_be_compared_is_a_problem(running: Any, query: str, status: int) -> None:
    answer = await running.http.get(f"/v1/comparisons?{query}")

    assert (answer.status_code, answer.json()["status"]) == (status, status)
