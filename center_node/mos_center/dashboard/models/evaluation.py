"""Evaluations on a version's page: figures and pictures of its concepts, live while one runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from mos_protocol.errors import InvalidRequest

from mos_center.dashboard.models.evaluation_plot import Plot, plot_of
from mos_center.dashboard.pictures import Width, picture
from mos_center.dashboard.rendering import Told, page_path, redirect, render_text
from mos_center.dashboard.streaming import streamed
from mos_center.dashboard.visitor import (
    PATH,
    CenterHere,
    Fields,
    SignedFields,
    Visitor,
    VisitorHere,
)
from mos_center.domain.evaluations import (
    DEFAULT_SEEDS,
    LEAST_SEEDS,
    MOST_PROMPT_CHARS,
    MOST_PROMPTS,
    MOST_SEEDS,
    Evaluation,
    EvaluationRequest,
    EvaluationState,
)
from mos_center.domain.lineage import Ingredient
from mos_center.domain.models import ModelVersion
from mos_center.domain.states import SubmissionState
from mos_center.service.center import Center
from mos_center.service.evaluations import VersionEvaluations

router = APIRouter()

MOST_ROWS = 40
MOST_GRIDS = 24
# Of more concepts, the others' pictures are loaded when they are asked for.
FEW_GRIDS = 4
_REQUEST = "/models/{name}/{revision}/evaluations"
_MOST_TEXT = MOST_PROMPTS * (MOST_PROMPT_CHARS + 2)


@dataclass(frozen=True)
class ConceptRow:
    """A concept's figures, means by the model's name; `kept` is None where it can't be told."""

    ref: str
    text: Mapping[str, float]
    identity: Mapping[str, float]
    errors: Mapping[str, float]
    kept: float | None


@dataclass(frozen=True)
class EvaluationView:
    """What the panel shows: the rows of concepts that keep least, `hidden` others, and grids."""

    newest: Evaluation | None
    done: Evaluation | None
    rows: tuple[ConceptRow, ...]
    hidden: int
    plot: Plot | None
    grids: tuple[tuple[str, str], ...]
    may_ask: bool
    may_cancel: bool

    @property
    def is_running(self) -> bool:
        """Whether something will change by itself."""
        return self.newest is not None and not self.newest.state.is_finished

    @property
    def is_shown(self) -> bool:
        """Whether there is anything to show or to ask for."""
        return self.may_ask or self.newest is not None

    def content(self, version: ModelVersion) -> dict[str, Any]:
        """What the panel's template needs besides the visitor."""
        return {
            "evaluation": self,
            "version": version,
            "now": datetime.now(UTC),
            "seeds": (LEAST_SEEDS, DEFAULT_SEEDS, MOST_SEEDS),
            "most_prompts": MOST_PROMPTS,
            "few_grids": FEW_GRIDS,
        }


def evaluation_view(
    center: Center, version: ModelVersion, ingredients: Sequence[Ingredient], visitor: Visitor
) -> EvaluationView:
    """The panel of a version that the visitor may read."""
    found = center.evaluations.shown(version.model, str(version.version), caller=visitor.caller)
    usable = version.tombstoned_at is None and all(map(_is_usable, ingredients))
    is_idle = found.newest is None or found.newest.state.is_finished
    rows = _rows(found.done)
    shown = sorted(rows, key=_least_first)[:MOST_ROWS] if len(rows) > MOST_ROWS else rows
    return EvaluationView(
        newest=found.newest,
        done=found.done,
        rows=tuple(shown),
        hidden=len(rows) - len(shown),
        plot=plot_of([(row.ref, row.text, row.identity) for row in shown]),
        grids=_grids(found.done, version, ingredients),
        may_ask=(usable and is_idle and center.evaluations.is_on and visitor.may("POST", _REQUEST)),
        may_cancel=_may_cancel(found, visitor),
    )


@router.post("/models/{name}/{revision}/evaluations")
def request_evaluation(
    request: Request,
    name: str,
    revision: str,
    center: CenterHere,
    visitor: VisitorHere,
    fields: SignedFields,
) -> Response:
    """Have the version evaluated, and go back to its page."""
    wanted = EvaluationRequest(fields.text("prompts", most=40), _texts(fields), _seeds(fields))
    found, made = center.evaluations.request(name, revision, wanted, caller=visitor.caller)
    told = Told(
        f"{found.ref} will be evaluated." if made else f"{found.ref} is being evaluated already."
    )
    return redirect(request, visitor, _address(found), told)


@router.get("/models/{name}/{revision}/evaluations/events")
def evaluation_events(
    request: Request, name: str, revision: str, center: CenterHere, visitor: VisitorHere
) -> StreamingResponse:
    """The panel whenever it changes, until nothing runs any more."""
    version = center.models.get(name, revision, caller=visitor.caller)
    number = str(version.version)

    def read(visitor: Visitor) -> EvaluationView:
        lineage = center.lineage.of_version(name, number, caller=visitor.caller)
        return evaluation_view(center, lineage.version, lineage.ingredients, visitor)

    def draw(view: EvaluationView, visitor: Visitor) -> dict[str, str]:
        content = view.content(version)
        return {"evaluation": render_text("versions/_evaluation.html", visitor=visitor, **content)}

    return streamed(request, read, draw, lambda view: not view.is_running)


@router.post("/evaluations/{evaluation_id}/cancel")
def cancel(
    request: Request,
    evaluation_id: str,
    center: CenterHere,
    visitor: VisitorHere,
    fields: SignedFields,
) -> Response:
    """Stop it after the pictures that are being made."""
    found = center.evaluations.cancel(evaluation_id, caller=visitor.caller)
    told = Told(f"The evaluation of {found.ref} is cancelled.")
    return redirect(request, visitor, _address(found), told)


@router.get("/evaluations/{evaluation_id}/grids/{number}")
def grid(
    request: Request,
    evaluation_id: str,
    number: int,
    center: CenterHere,
    visitor: VisitorHere,
    width: Width = None,
) -> Response:
    """Pictures of one concept, in full or small."""
    found = center.evaluations.grid(evaluation_id, number, caller=visitor.caller)
    return picture(request, found.sha256, width)


def _rows(done: Evaluation | None) -> list[ConceptRow]:
    if done is None or done.result is None:
        return []
    return [
        ConceptRow(
            ref=item["concept"],
            text={name: value["mean"] for name, value in item["text"].items()},
            identity={name: value["mean"] for name, value in item["identity"].items()},
            errors={name: value["error"] for name, value in item["identity"].items()},
            kept=item["kept"],
        )
        for item in done.result["concepts"]
    ]


def _least_first(row: ConceptRow) -> float:
    return 1.0 if row.kept is None else row.kept


def _grids(
    done: Evaluation | None, version: ModelVersion, ingredients: Sequence[Ingredient]
) -> tuple[tuple[str, str], ...]:
    """Concepts and the addresses of their pictures, as far as they may be seen."""
    if done is None or version.tombstoned_at is not None:
        return ()
    return tuple(
        (item.ref, f"{PATH}/{page_path('evaluations', done.id, 'grids', number)}")
        for number, item in enumerate(ingredients)
        if number in (done.grids or ()) and _is_usable(item)
    )[:MOST_GRIDS]


def _may_cancel(found: VersionEvaluations, visitor: Visitor) -> bool:
    newest = found.newest
    if newest is None or newest.state not in (EvaluationState.QUEUED, EvaluationState.RUNNING):
        return False
    is_theirs = visitor.caller.viewer in (None, newest.requested_by)
    return is_theirs and visitor.may("POST", "/evaluations/{evaluation_id}/cancel")


def _is_usable(item: Ingredient) -> bool:
    return item.is_listed and item.state is not SubmissionState.WITHDRAWN


def _texts(fields: Fields) -> tuple[str, ...]:
    """The lines of the form that hold a prompt."""
    lines = fields.text("texts", most=_MOST_TEXT).splitlines()
    return tuple(line.strip() for line in lines if line.strip())


def _seeds(fields: Fields) -> int:
    text = fields.text("seeds", most=10)
    if not text.isascii() or not text.isdigit():
        raise InvalidRequest(
            f"{text!r} is no number of pictures.", hint=f"{LEAST_SEEDS} to {MOST_SEEDS}."
        )
    return int(text)


def _address(found: Evaluation) -> str:
    return f"{page_path('models', found.model, found.version)}#evaluation"
