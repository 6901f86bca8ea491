"""Asking what stands against a fusion, over REST."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from mos_center.domain.models import Submission
from mos_center.opening import OpenedData
from sqlalchemy import text

BODY = {
    "model": "demo",
    "base": "small",
    "concepts": [{"name": "ada/potter"}, {"name": "eve/fake", "version": 1, "weight": 0.5}],
}
KEY = {"Idempotency-Key": "one"}


@pytest.fixture(autouse=True)
def concepts(submit: Callable[..., Submission]) -> None:
    submit(concept="ada/potter", words=("<potter1>",))
    submit(concept="eve/fake", words=("<potter1>",))
    submit(concept="bob/cat", words=("<cat>",))


async def test_what_stands_against_a_request_is_an_answer_and_no_failure(running: Any) -> None:
    answer = await running.http.post("/v1/fusions/check", json=BODY)

    assert answer.status_code == 200
    assert answer.json() == {
        "possible": False,
        "findings": [
            {
                "kind": "error",
                "subject": "concepts",
                "concepts": ["ada/potter@1", "eve/fake@1"],
                "message": "ada/potter@1 and eve/fake@1 share the word <potter1>.",
                "hint": "Keep one of them, or tune the others again with other words.",
                "code": "conflict",
            },
            {
                "kind": "note",
                "subject": "model",
                "concepts": [],
                "message": "demo is a new model; this becomes demo@1.",
                "hint": "",
                "code": None,
            },
        ],
        "known": None,
        "version": 1,
    }


async def test_a_check_is_answered_anew_whatever_its_key(running: Any, data: OpenedData) -> None:
    body = {**BODY, "concepts": [{"name": "bob/cat"}]}
    before = await running.http.post("/v1/fusions/check", json=body, headers=KEY)
    made = await running.http.post("/v1/fusions", json=body)

    after = await running.http.post("/v1/fusions/check", json=body, headers=KEY)

    assert (before.json()["possible"], before.json()["known"]) == (True, None)
    assert after.json()["known"] == made.json()
    assert "idempotent-replayed" not in after.headers
    with data.database.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM idempotency_keys")) == 0


async def test_a_body_that_is_no_request_is_refused_by_its_place(running: Any) -> None:
    answer = await running.http.post("/v1/fusions/check", json={**BODY, "refine_rounds": 9})

    assert answer.status_code == 422
    assert "refine_rounds" in answer.json()["detail"]
