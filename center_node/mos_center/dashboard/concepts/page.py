"""One version of a concept: what it is, what left the client, where it went, who sees it."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from mos_protocol.manifest import MANIFEST_FILE, Manifest
from mos_protocol.names import Digest

from mos_center.dashboard.concepts.address import (
    AddressHere,
    may_withdraw,
    models_with,
    sees_models,
)
from mos_center.dashboard.concepts.curves import Curve
from mos_center.dashboard.listing import Key, Name
from mos_center.dashboard.pictures import Width, picture
from mos_center.dashboard.rendering import is_fragment, page_path, redirect, render
from mos_center.dashboard.visitor import CenterHere, Visitor, VisitorHere
from mos_center.domain.access import Visibility
from mos_center.domain.models import Submission
from mos_center.domain.states import CATALOGUED, SubmissionState
from mos_center.service.center import Center

router = APIRouter()

VERSIONS = 12
# Longer ones are for downloading.
MAX_SHOWN_MANIFEST = 40_000
PREVIEW_TITLES = (
    ("0.0", "Base model alone"),
    ("0.7", "At LoRA weight 0.7"),
    ("1.0", "At LoRA weight 1"),
)


@router.get("/concepts/{owner}/{name}")
def newest(
    request: Request, owner: Name, name: Name, center: CenterHere, visitor: VisitorHere
) -> Response:
    """Lead on to the newest version that the visitor may see."""
    versions = center.concepts.overview(owner, name, caller=visitor.caller, newest=1).versions
    if not versions:
        return redirect(request, visitor, page_path("concepts") + f"?q={owner}/{name}")
    return redirect(request, visitor, page_path("concepts", owner, name, versions[0].version))


@router.get("/concepts/{owner}/{name}/{version}")
def concept_page(
    request: Request, at: AddressHere, center: CenterHere, visitor: VisitorHere
) -> Response:
    """All about one version."""
    submission = center.concepts.get(*at, caller=visitor.caller)
    return _page(request, center, visitor, submission)


@router.get("/submissions/{submission_id}")
def submission_page(
    request: Request, submission_id: Name, center: CenterHere, visitor: VisitorHere
) -> Response:
    """A package that has no version yet, or was refused; the others have a page of their own."""
    submission = center.submissions.get(submission_id, caller=visitor.caller)
    if submission.version is not None and submission.state in CATALOGUED:
        return redirect(
            request, visitor, page_path("concepts", submission.concept, submission.version)
        )
    return _page(request, center, visitor, submission)


@router.get("/concepts/{owner}/{name}/{version}/models")
def models_page(
    request: Request,
    at: AddressHere,
    center: CenterHere,
    visitor: VisitorHere,
    after: Key = "",
) -> Response:
    """The model versions that contain it, more of them."""
    submission = center.concepts.get(*at, caller=visitor.caller)
    found = models_with(center, visitor, submission, after)
    template = "concept/_models.html" if is_fragment(request) else "concept/models.html"
    return render(request, template, visitor=visitor, submission=submission, models=found)


@router.get("/concepts/{owner}/{name}/{version}/previews/{file}")
def preview(
    request: Request,
    at: AddressHere,
    file: Name,
    center: CenterHere,
    visitor: VisitorHere,
    width: Width = None,
) -> Response:
    """A preview picture."""
    path = f"previews/{file}"
    entry = center.concepts.preview(*at, path, caller=visitor.caller)
    return picture(request, Digest(entry.sha256), width)


@router.get("/concepts/{owner}/{name}/{version}/manifest.json")
def manifest_file(at: AddressHere, center: CenterHere, visitor: VisitorHere) -> Response:
    """The manifest as it was sent, to keep."""
    submission = center.concepts.get(*at, caller=visitor.caller)
    file_name = f"{at.owner}-{at.name}-{at.version}-{MANIFEST_FILE}"
    return Response(
        submission.manifest.to_bytes(),
        media_type="application/json",
        headers={"Content-Disposition": f'attachment; filename="{file_name}"'},
    )


def _page(request: Request, center: Center, visitor: Visitor, submission: Submission) -> Response:
    owner, name, caller = submission.owner, submission.name, visitor.caller
    is_listed = submission.version is not None and submission.state in CATALOGUED
    has_audits = is_listed and visitor.may("POST", "/concepts/{owner}/{name}/{version}/audit")
    version = submission.version or 0
    return render(
        request,
        "concept/page.html",
        visitor=visitor,
        submission=submission,
        concept=center.concepts.overview(owner, name, caller=caller, newest=VERSIONS),
        most_versions=VERSIONS,
        manifest_text=_shown(submission.manifest),
        previews=_previews(submission),
        curve=Curve.of(submission.manifest.training.loss_curve)
        if submission.manifest.training
        else None,
        models=models_with(center, visitor, submission)
        if is_listed and sees_models(visitor)
        else None,
        audits=center.concept_audits.of(owner, name, version, caller=caller)
        if has_audits
        else None,
        is_mine=caller.owns(owner) and visitor.may("POST", "/concepts/{owner}/{name}/visibility"),
        may_withdraw=is_listed and may_withdraw(visitor, submission),
        visibilities=[one.value for one in Visibility],
        kinds=_kinds(submission.manifest),
    )


def _previews(submission: Submission) -> list[tuple[str, str]]:
    """Paths and titles of the pictures that can be seen, the base's first."""
    if submission.state not in (SubmissionState.APPROVED, SubmissionState.PENDING_REVIEW):
        return []
    return [(entry.path, _title(entry.path)) for entry in submission.manifest.previews]


def _title(path: str) -> str:
    name = path.removeprefix("previews/").removesuffix(".png")
    return next((title for scale, title in PREVIEW_TITLES if scale in name), name)


def _shown(manifest: Manifest) -> str:
    """The manifest's text; "" when it would be most of the page."""
    text = manifest.to_bytes().decode()
    return text if len(text) <= MAX_SHOWN_MANIFEST else ""


def _kinds(manifest: Manifest) -> list[tuple[str, int, int]]:
    """What the package consists of: kind of file, how many, bytes."""
    kinds = {"concept": "words and LoRA weights", "moments": "averaged layer statistics"}
    found: dict[str, tuple[int, int]] = {}
    for entry in manifest.files:
        start = entry.path.partition("/")[0].partition(".")[0]
        kind = kinds.get(start, "sample pictures made by the model")
        count, size = found.get(kind, (0, 0))
        found[kind] = (count + 1, size + entry.size)
    return [(kind, count, size) for kind, (count, size) in found.items()]
