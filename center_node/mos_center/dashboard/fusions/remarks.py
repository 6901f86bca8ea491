"""What is said about a draft, sorted by the place of the form that it is about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mos_protocol.errors import MosError
from mos_protocol.layer_map import Part

from mos_center.dashboard.fusions.draft import Draft
from mos_center.service.fusion_findings import Finding, FindingKind, Subject

# What is about more of them is said once, above them.
_MOST_BESIDE = 8
_MOST_FINDINGS = 60
_PLACES = (
    *("model", "base", "fuse_method", "settings"),
    *("prior_weight", "refine_rounds", "export", "priority"),
    *(f"{name}.{part.value}" for name in ("ridge", "lbfgs_steps") for part in Part),
)


@dataclass(frozen=True)
class Remark:
    """A sentence at a place of the form, and what to do about it."""

    kind: FindingKind
    message: str
    hint: str = ""


@dataclass(frozen=True)
class Remarks:
    """Remarks by place. The places of chosen concepts are their numbers, from 1."""

    places: Mapping[str, list[Remark]]
    errors: int = 0
    why_not: str = ""
    warnings: int = 0
    outcome: str = ""

    @property
    def of_fields(self) -> Sequence[str]:
        """The places of all fields but those of chosen concepts."""
        return _PLACES

    def at(self, place: object) -> list[Remark]:
        """What is said at a place."""
        return self.places.get(str(place), [])


def remarks_on(
    draft: Draft, problems: Mapping[str, MosError], findings: Sequence[Finding]
) -> Remarks:
    """Sort what can't be read, and what was found, to its places."""
    places: dict[str, list[Remark]] = {place: [] for place in _places(draft)}
    numbers = {f"weight.{item.ref}": str(n) for n, item in enumerate(draft.concepts, 1)}
    for name, error in problems.items():
        remark = Remark(FindingKind.ERROR, error.message, error.hint)
        places.setdefault(numbers.get(name, name), []).append(remark)
    told = [one for one in findings if one.kind is not FindingKind.NOTE]
    for finding in told[:_MOST_FINDINGS]:
        for place in _places_of(finding, draft):
            places[place].append(Remark(finding.kind, finding.message, finding.hint))
    if len(told) > _MOST_FINDINGS:
        more = f"{len(told) - _MOST_FINDINGS} more findings are not shown."
        places["concepts"].append(Remark(FindingKind.WARNING, more, "See to the others first."))
    notes = [one.message for one in findings if one.kind is FindingKind.NOTE]
    errors = len(problems) + sum(one.kind is FindingKind.ERROR for one in findings)
    return Remarks(
        places,
        errors,
        _why_not(draft, errors),
        sum(one.kind is FindingKind.WARNING for one in findings),
        notes[0] if notes else "",
    )


def _places(draft: Draft) -> Iterator[str]:
    yield from ("concepts", *_PLACES)
    yield from (str(number) for number in range(1, 1 + len(draft.concepts)))


def _places_of(finding: Finding, draft: Draft) -> list[str]:
    """Where a finding is said: at every concept that it is about, unless they are many."""
    if finding.subject is not Subject.CONCEPTS:
        return [finding.subject.value]
    about = set(finding.concepts)
    found = [str(number) for number, item in enumerate(draft.concepts, 1) if item.ref in about]
    return found if 0 < len(found) <= _MOST_BESIDE else ["concepts"]


def _why_not(draft: Draft, errors: int) -> str:
    """Why the fusion can't be queued; "" when it can."""
    if not draft.base:
        return "The center has no base model yet: its operator adds one."
    missing = [] if draft.concepts else ["choose at least one concept"]
    missing += [] if draft.model else ["give the model a name"]
    if errors:
        stand = "problem stands" if errors == 1 else "problems stand"
        missing.append(f"{errors} {stand} against it, told in red")
    return f"{'; '.join(missing)}.".capitalize() if missing else ""
