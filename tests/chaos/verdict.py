"""What must hold after all faults: nothing lost, nothing twice, every byte right."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from hub_processes import Hub
from hub_world import settings_of
from mos_center.domain.access import SYSTEM
from mos_center.domain.states import UNFINISHED, FusionState, SubmissionState
from mos_center.opening import OpenedData, opened
from mos_protocol.names import Digest
from sqlalchemy import text

from chaos.edges import Edge, Requester

SETTLE_SECONDS = 600.0
_ENDED = (SubmissionState.APPROVED, SubmissionState.PENDING_REVIEW, SubmissionState.REJECTED)


@dataclass
class Verdict:
    """Figures of the outcome, and everything that is wrong."""

    figures: dict[str, object] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def check(self, holds: bool, what: str) -> None:
        """Note `what` as wrong unless it holds."""
        if not holds:
            self.wrong.append(what)


def judge(hub: Hub, edges: list[Edge], requester: Requester, faults: Counter[str]) -> Verdict:
    """Wait until the hub is quiet, then look at everything that it has."""
    verdict = Verdict()
    with opened(settings_of(hub, "judge")) as data:
        _wait_until_quiet(data, requester.accepted)
        _check_submissions(data, edges, verdict)
        _check_fusions(data, requester, verdict)
        _check_blobs(data, verdict)
    for edge in edges:
        hits = edge.kills + sum(count for kind, count in faults.items() if kind != "client")
        verdict.check(edge.resent() <= hits, f"{edge.member} sent {edge.resent()} files again")
    verdict.figures["files sent again"] = sum(edge.resent() for edge in edges)
    _check_audit(hub, verdict)
    return verdict


def _wait_until_quiet(data: OpenedData, fusions: Iterable[str]) -> None:
    deadline = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < deadline:
        with data.database.read() as transaction:
            if not transaction.fusions.jobs(UNFINISHED):
                return
        time.sleep(0.5)


def _check_submissions(data: OpenedData, edges: list[Edge], verdict: Verdict) -> None:
    states: Counter[str] = Counter()
    for edge in edges:
        for concept, answer in zip(edge.packages, edge.answers(), strict=True):
            owner, _, name = concept.partition("/")
            with data.database.read() as transaction:
                found = transaction.submissions.by_version(owner, name, 1)
                second = transaction.submissions.by_version(owner, name, 2)
            state = "missing" if found is None else found.state.value
            states[state] += 1
            verdict.check("accepted" in answer, f"{concept}: the client was told {answer}")
            verdict.check(found is not None and found.state in _ENDED, f"{concept} is {state}")
            verdict.check(second is None, f"{concept} is there twice")
    verdict.figures["submissions"] = dict(states)


def _check_fusions(data: OpenedData, requester: Requester, verdict: Verdict) -> None:
    states: Counter[str] = Counter()
    codes: Counter[str] = Counter()
    published = 0
    for fusion_id in requester.accepted:
        with data.database.read() as transaction:
            fusion = transaction.fusions.get(fusion_id)
        verdict.check(fusion is not None, f"the accepted fusion {fusion_id} is lost")
        if fusion is None:
            continue
        states[fusion.state.value] += 1
        verdict.check(fusion.state not in UNFINISHED, f"{fusion_id} is still {fusion.state.value}")
        if fusion.state is FusionState.FAILED:
            codes[fusion.error.code if fusion.error else "no reason"] += 1
        published += fusion.state is FusionState.PUBLISHED
    verdict.figures["fusions"] = dict(states)
    verdict.figures["reasons of failures"] = dict(codes)
    verdict.check("no reason" not in codes, "a fusion failed without a reason")
    _check_versions(data, published, verdict)


def _check_versions(data: OpenedData, published: int, verdict: Verdict) -> None:
    versions = []
    for model in data.center().models.names(caller=SYSTEM, limit=200):
        found = data.center().models.versions(model, caller=SYSTEM)
        numbers = sorted(item.version for item in found)
        verdict.check(numbers == list(range(1, len(numbers) + 1)), f"{model} has gaps: {numbers}")
        versions += found
    fusions = Counter(item.fusion_id for item in versions)
    verdict.check(max(fusions.values(), default=1) == 1, "a fusion was published twice")
    verdict.check(len(versions) == published, f"{published} fusions, {len(versions)} versions")
    verdict.figures["published versions"] = len(versions)


def _check_blobs(data: OpenedData, verdict: Verdict) -> None:
    with data.database.engine.connect() as connection:
        digests = [
            Digest(row.sha256)
            for row in connection.execute(
                text("SELECT sha256 FROM submission_files UNION SELECT sha256 FROM version_files")
            )
        ]
    for digest in digests:
        if not data.blobs.exists(digest):
            verdict.check(False, f"blob {digest} is not in the store")
            continue
        with data.blobs.open(digest) as blob:
            right = hashlib.file_digest(blob, "sha256").hexdigest() == digest
        verdict.check(right, f"blob {digest} has other bytes")
    verdict.figures["blobs whose hash was checked"] = len(digests)


def _check_audit(hub: Hub, verdict: Verdict) -> None:
    try:
        hub.run("audit", "verify")
    except AssertionError as error:
        verdict.check(False, f"the audit log does not verify: {error}")
