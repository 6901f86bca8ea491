"""What workers are asked to do: jobs by id, and which of them go first.

A fusion's job carries its id, and after each retry a number that was not used before; jobs of other
kinds say their kind first: `validate:<submission>`, `audit:<audit>`, `compose:<composition>`,
`evaluate:<evaluation>`.
"""

from __future__ import annotations

from dataclasses import dataclass

from mos_center.domain.models import Priority

VALIDATION = "validate"
AUDIT = "audit"
COMPOSITION = "compose"
EVALUATION = "evaluate"


@dataclass(frozen=True)
class Job:
    """A job that is to be done, unless it is being done."""

    id: str
    priority: Priority = Priority.NORMAL


@dataclass(frozen=True)
class Attempt:
    """A worker's begin with a fusion; what it tells counts until the next attempt begins."""

    number: int
    request_id: str


def fusion_job(fusion_id: str, generation: int) -> str:
    """The id of a fusion's job; `generation` counts the retries before."""
    return f"{fusion_id}.{generation}" if generation else fusion_id


def fusion_of(job_id: str) -> tuple[str, int]:
    """The fusion and the generation of a fusion's job."""
    fusion_id, _, generation = job_id.partition(".")
    return fusion_id, int(generation or 0)


def other_job(kind: str, name: str) -> str:
    """The id of a job of another kind; `name` is the id of what it is about."""
    return f"{kind}:{name}"


def kind_of(job_id: str) -> tuple[str, str]:
    """The kind of a job, "" for fusions, and the id of what it is about."""
    kind, colon, name = job_id.partition(":")
    return (kind, name) if colon else ("", job_id)
