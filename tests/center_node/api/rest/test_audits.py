"""Audits of statistics over REST."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mos_center.domain.models import Submission
from mos_center.opening import OpenedData
from mos_center.service.concept_audits import AuditLedgerService


async def test_an_audit_is_asked_for_and_its_verdict_shown(
    running: Any, data: OpenedData, submit: Callable[..., Submission]
) -> None:
    submit()
    path = "/v1/concepts/ada/potter/1/audits"

    asked = await running.http.post(path)
    AuditLedgerService(data.database).done(asked.json()["id"], {"verdict": "plausible"})
    shown = (await running.http.get(path)).json()

    assert asked.status_code == 202
    assert asked.json()["state"] == "queued"
    assert [item["state"] for item in shown["items"]] == ["done"]
    assert shown["items"][0]["result"] == {"verdict": "plausible"}


async def test_an_unknown_concept_has_no_audits(running: Any) -> None:
    assert (await running.http.get("/v1/concepts/ada/nobody/1/audits")).status_code == 404
