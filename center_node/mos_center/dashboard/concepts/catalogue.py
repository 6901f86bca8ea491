"""The list of concepts: filtered, searched, and reviewed one or many at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from mos_protocol.errors import InvalidRequest, MosError

from mos_center.dashboard.listing import Key, Text, listed, one_of
from mos_center.dashboard.rendering import Told, redirect, render
from mos_center.dashboard.visitor import CenterHere, Fields, SignedFields, Visitor, VisitorHere
from mos_center.domain.access import Visibility
from mos_center.domain.queries import ConceptQuery, Order
from mos_center.domain.states import SubmissionState
from mos_center.service.center import Center

router = APIRouter()

PAGE = 24
Choice = Annotated[str, Query(max_length=20)]


@router.get("/concepts")
def concepts_page(
    request: Request,
    center: CenterHere,
    visitor: VisitorHere,
    q: Text = "",
    state: Choice = "",
    base: Text = "",
    owner: Text = "",
    class_word: Text = "",
    visibility: Choice = "",
    sort: Choice = "",
    after: Key = "",
) -> Response:
    """Cards of the concept versions that fit."""
    states = _states(state)
    query = ConceptQuery(
        base=base or None,
        owner=owner or None,
        text=q or None,
        class_word=class_word or None,
        visibility=one_of(Visibility, visibility),
        order=one_of(Order, sort) or Order.NEWEST,
    )
    found = listed(
        lambda limit: center.concepts.find_all(
            query, caller=visitor.caller, states=states, before=after or None, limit=limit
        ),
        lambda shown: shown.submission.id,
        PAGE,
    )
    return render(
        request,
        "concepts/page.html",
        visitor=visitor,
        found=found,
        filters={
            "q": q,
            "state": state,
            "base": base,
            "owner": owner,
            "class_word": class_word,
            "visibility": visibility,
            "sort": sort,
        },
        is_first=not after,
        bases=[record.name for record in center.bases.all()],
        states=[one.value for one in SubmissionState],
        visibilities=[one.value for one in Visibility],
        waiting=center.overview.waiting(visitor.caller),
        picture=card_picture,
    )


@router.post("/concepts/review")
def review(
    request: Request, center: CenterHere, visitor: VisitorHere, fields: SignedFields
) -> Response:
    """Approve or reject every chosen package; what one of them refuses does not stop the rest."""
    decision = _Decision.of(fields)
    done, problems = 0, []
    for submission_id in decision.submissions:
        try:
            decision.make(center, submission_id, visitor)
            done += 1
        except MosError as error:
            problems.append(str(error))
    return redirect(request, visitor, decision.then, decision.told(done, problems))


@dataclass(frozen=True)
class _Decision:
    """What a reviewer decided about some packages, and the page to go back to."""

    approves: bool
    reason: str
    submissions: list[str]
    then: str

    @classmethod
    def of(cls, fields: Fields) -> _Decision:
        chosen = list(dict.fromkeys(fields.all("submission")))
        if not chosen:
            raise InvalidRequest("No concept is chosen.", hint="Tick at least one.")
        approves = fields.text("decision") == "approve"
        reason = fields.text("reason")
        if not approves and not reason:
            raise InvalidRequest(
                "A rejection needs a reason.",
                hint="Say why: its sender reads it and can mend the package.",
            )
        then = fields.text("then")
        return cls(approves, reason, chosen, then if then.startswith("concepts") else "concepts")

    def make(self, center: Center, submission_id: str, visitor: Visitor) -> None:
        if self.approves:
            center.submissions.approve(submission_id, visitor.caller)
        else:
            center.submissions.reject(submission_id, self.reason, visitor.caller)

    def told(self, done: int, problems: list[str]) -> Told:
        word = "approved" if self.approves else "rejected"
        concepts = "1 concept" if done == 1 else f"{done} concepts"
        if not problems:
            return Told(f"{concepts} {word}.")
        return Told(f"{concepts} {word}; {len(problems)} not: {' '.join(problems)}", "problem")


def card_picture(paths: list[str]) -> str:
    """The preview for a card: at LoRA weight 0.7 if there is one, "" if there is none."""
    preferred = [path for path in paths if "0.7" in path or "0_7" in path]
    return next(iter(preferred or paths), "")


def _states(state: str) -> list[SubmissionState]:
    chosen = one_of(SubmissionState, state)
    return [chosen] if chosen else list(SubmissionState)
