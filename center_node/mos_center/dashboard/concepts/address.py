"""The address of a concept version in a path, and what pages about it have in common."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from fastapi import Depends

from mos_center.dashboard.listing import Listing, Name, Version, listed
from mos_center.dashboard.rendering import page_path
from mos_center.dashboard.visitor import Visitor
from mos_center.domain.models import ModelVersion, Submission
from mos_center.domain.states import SubmissionState
from mos_center.service.center import Center

MODELS = 20


class Address(NamedTuple):
    """Which version of which concept."""

    owner: str
    name: str
    version: int

    @property
    def page(self) -> str:
        """Its page, relative to the dashboard's root."""
        return page_path("concepts", *self)

    def __str__(self) -> str:
        return f"{self.owner}/{self.name}@{self.version}"


def _address(owner: Name, name: Name, version: Version) -> Address:
    return Address(owner, name, version)


AddressHere = Annotated[Address, Depends(_address)]


def sees_models(visitor: Visitor) -> bool:
    """Whether the visitor may be told which models contain a concept."""
    return visitor.may("GET", "/concepts/{owner}/{name}/{version}/models")


def models_with(
    center: Center, visitor: Visitor, submission: Submission, after: str = ""
) -> Listing[ModelVersion]:
    """The model versions that contain it and that the visitor may see, newest first."""
    return listed(
        lambda limit: center.lineage.versions_with(
            submission.owner,
            submission.name,
            submission.version or 0,
            caller=visitor.caller,
            before=after or None,
            limit=limit,
        ),
        lambda version: version.fusion_id,
        MODELS,
    )


def may_withdraw(visitor: Visitor, submission: Submission) -> bool:
    """Whether the visitor may take this version back."""
    return (
        submission.state in (SubmissionState.APPROVED, SubmissionState.PENDING_REVIEW)
        and visitor.caller.viewer in (None, submission.owner)
        and visitor.may("POST", "/concepts/{owner}/{name}/{version}/withdraw")
    )
