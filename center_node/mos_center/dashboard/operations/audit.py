"""The log of all changes, for admins, and whether anybody has changed the log itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from mos_protocol.errors import InvalidRequest

from mos_center.dashboard.listing import Text, listed
from mos_center.dashboard.operations.audit_words import worded
from mos_center.dashboard.rendering import is_fragment, render
from mos_center.dashboard.visitor import CenterHere, VisitorHere
from mos_center.domain.audit_actions import AUDIT_ACTIONS
from mos_center.domain.events import FIRST_HASH, Checkpoint
from mos_center.domain.queries import AuditQuery

router = APIRouter()

PAGE = 50
# As many as are proven well within a tenth of a second.
CHAIN_STEP = 500
MAX_SEQ = 10**18 - 1
Seq = Annotated[int, Query(ge=0, le=MAX_SEQ)]
DAY = timedelta(days=1)


@router.get("/audit")
def audit_page(
    request: Request,
    center: CenterHere,
    visitor: VisitorHere,
    actor: Text = "",
    action: Text = "",
    resource: Text = "",
    since: Text = "",
    until: Text = "",
    before: Seq = MAX_SEQ,
) -> Response:
    """Changes that fit, newest first; `since` and `until` are days that count themselves."""
    query = AuditQuery(
        actor=actor or None,
        action=action or None,
        resource=resource or None,
        since=_day(since),
        until=_day(until, DAY),
    )
    found = listed(
        lambda limit: center.audit.find(query, caller=visitor.caller, before=before, limit=limit),
        lambda entry: entry.seq,
        PAGE,
    )
    return render(
        request,
        "audit/page.html",
        visitor=visitor,
        found=found,
        filters={
            "actor": actor,
            "action": action,
            "resource": resource,
            "since": since,
            "until": until,
        },
        is_first=before == MAX_SEQ,
        actions=_by_noun(),
        worded=worded,
        total=center.audit.last(caller=visitor.caller).seq,
        start=Checkpoint(),
    )


@router.get("/audit/chain")
def chain(
    request: Request,
    center: CenterHere,
    visitor: VisitorHere,
    seq: Seq = 0,
    hash: Text = FIRST_HASH,
) -> Response:
    """Prove the next part of the chain, from the checkpoint of the part before."""
    start = Checkpoint.parse(f"{seq}:{hash}")
    proven = center.audit.verify_part(start, caller=visitor.caller, limit=CHAIN_STEP)
    return render(
        request,
        "audit/_chain.html" if is_fragment(request) else "audit/chain.html",
        visitor=visitor,
        proven=proven,
        total=center.audit.last(caller=visitor.caller).seq,
    )


def _by_noun() -> list[tuple[str, list[str]]]:
    """All actions, by what they are done to."""
    nouns = groupby(AUDIT_ACTIONS, lambda action: action.partition(".")[0])
    return [(noun, list(actions)) for noun, actions in nouns]


def _day(text: str, later: timedelta = timedelta()) -> datetime | None:
    """The beginning of a day in UTC, and that much `later`; raises `InvalidRequest`."""
    if not text:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC) + later
    except (ValueError, OverflowError):
        raise InvalidRequest(f"{text!r} is no day.", hint="Write it as 2026-03-31.") from None
