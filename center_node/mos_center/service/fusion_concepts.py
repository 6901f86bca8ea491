"""The concepts that a request names: which versions they are, and what stands against them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mos_protocol.errors import Conflict, InvalidRequest, NotFound
from mos_protocol.layer_map import Part
from mos_protocol.methods import LAYER_PARTS
from mos_protocol.moments import moments_path
from mos_protocol.names import ConceptRef, parse_concept_name
from mos_protocol.part_weights import PartWeights
from mos_protocol.words import shared_words

from mos_center.domain.access import Caller
from mos_center.domain.fuse_methods import Changed, loses_change, unfit
from mos_center.domain.models import BaseRecord, Solver, Submission
from mos_center.domain.ports import Transaction
from mos_center.domain.states import SubmissionState
from mos_center.service.base_words import words_of_base
from mos_center.service.fusion_findings import Finding, FindingKind, Subject
from mos_center.service.fusion_requests import WantedConcept

_NAMED = 3
_TUNED = {
    "cross": "cross-attention alone",
    "keys-values": "the keys and values of cross-attention alone",
    "none": "embeddings alone",
}
_SHARED = "those are taken to send into them what the others do, which averages the change."


@dataclass(frozen=True)
class Member:
    """A concept version as it goes into the fusion."""

    submission: Submission
    weights: PartWeights

    @property
    def ref(self) -> str:
        return f"{self.submission.concept}@{self.submission.version}"


def find_members(
    transaction: Transaction, wanted: Sequence[WantedConcept], base: BaseRecord, caller: Caller
) -> tuple[list[Member], list[Finding]]:
    """Approved versions for this base that the caller may see, and why others are none."""
    refs = [ConceptRef(parse_concept_name(item.name), item.version) for item in wanted]
    known = transaction.submissions.named(refs, viewer=caller.viewer)
    members: list[Member] = []
    findings: list[Finding] = []
    for item, ref in zip(wanted, refs, strict=True):
        submission = known.get(ref)
        refusal = _refusal(ref, submission, base)
        if refusal is not None:
            findings.append(refusal)
        elif submission is not None:
            members.append(Member(submission, item.weights))
    return members, findings


def findings_about(
    members: Sequence[Member], base: BaseRecord, solver: Solver
) -> Iterator[Finding]:
    """What stands against fusing these with each other on this base."""
    yield from _repeated(members)
    yield from _taken_words(members, base)
    yield from _parts_without_change(members)
    yield from _ways_to_change(members, solver)
    if solver.solves:
        yield from _missing_moments(members, base)


def _refusal(ref: ConceptRef, submission: Submission | None, base: BaseRecord) -> Finding | None:
    if submission is None:
        gone = NotFound(f"There is no concept {ref}.", hint="List those that you may see.")
        return Finding.of(gone, Subject.CONCEPTS, str(ref))
    found = f"{submission.concept}@{submission.version}"
    if submission.state is not SubmissionState.APPROVED:
        unfit = InvalidRequest(
            f"{found} is {submission.state.value}.", hint="Only approved concepts can be fused."
        )
        return Finding.of(unfit, Subject.CONCEPTS, found)
    if submission.base != base.name:
        foreign = InvalidRequest(
            f"{found} was tuned on base {submission.base!r}, not {base.name!r}.",
            hint="Fuse concepts of one base.",
        )
        return Finding.of(foreign, Subject.CONCEPTS, found)
    return None


def _repeated(members: Sequence[Member]) -> Iterator[Finding]:
    for ref, times in Counter(member.ref for member in members).items():
        if times > 1:
            error = Conflict(
                f"{ref} is named {times} times.", hint="Name it once, with the weight you want."
            )
            yield Finding.of(error, Subject.CONCEPTS, ref)


def _taken_words(members: Sequence[Member], base: BaseRecord) -> Iterator[Finding]:
    words = {member.ref: member.submission.manifest.words for member in members}
    for shared in shared_words(words.items()):
        yield Finding.of(shared.error(), Subject.CONCEPTS, *shared.concepts)
    taken = words_of_base(base)
    for ref, own in words.items():
        for word in sorted(taken.intersection(own)):
            error = Conflict(
                f"The word {word} of {ref} is already one of base {base.name!r}.",
                hint="Leave the concept out, or tune it again with another word.",
            )
            yield Finding.of(error, Subject.CONCEPTS, ref)


def _parts_without_change(members: Sequence[Member]) -> Iterator[Finding]:
    for member in members:
        manifest = member.submission.manifest
        if manifest.training is None:
            continue
        changed = LAYER_PARTS[manifest.training.layers]
        idle = [part for part in Part if part not in changed and member.weights.of(part) > 0]
        if idle:
            names = " or ".join(part.value.replace("_", " ") for part in idle)
            yield Finding(
                FindingKind.WARNING,
                Subject.CONCEPTS,
                f"{member.ref} has no {names} part: {manifest.method} tuned "
                f"{_TUNED[manifest.training.layers]}, so its weight there does nothing.",
                "It can be fused all the same.",
                (member.ref,),
            )


def _ways_to_change(members: Sequence[Member], solver: Solver) -> Iterator[Finding]:
    """What the solver can't fuse, and what it leaves out."""
    changed = [Changed(one.ref, one.weights, one.submission.manifest) for one in members]
    for ref, error in unfit(solver, changed):
        yield Finding.of(error, Subject.CONCEPTS, ref)
    for concept in changed:
        if loses_change(solver, concept):
            yield Finding(
                FindingKind.WARNING,
                Subject.CONCEPTS,
                f"{concept.ref} loses what it changes in layers: the fuse method {solver} inserts "
                "its words alone.",
                "Choose another fuse method to keep more of it.",
                (concept.ref,),
            )


def _missing_moments(members: Sequence[Member], base: BaseRecord) -> Iterator[Finding]:
    """Blocks that some concepts change and others know nothing of, where no prior stands in."""
    blocks: dict[tuple[str, ...], list[str]] = {}
    for block in base.layer_map.extra_blocks:
        path = moments_path(block.name)
        lacking = tuple(m.ref for m in members if m.submission.manifest.file(path) is None)
        if block.name not in base.prior and 0 < len(lacking) < len(members):
            blocks.setdefault(lacking, []).append(block.name)
    for lacking, names in blocks.items():
        more = f" and {len(lacking) - _NAMED} more" if len(lacking) > _NAMED else ""
        verb = "has" if len(lacking) == 1 else "have"
        yield Finding(
            FindingKind.WARNING,
            Subject.CONCEPTS,
            f"Other concepts change {', '.join(names)}, and {', '.join(lacking[:_NAMED])}{more} "
            f"{verb} no moments there: {_SHARED}",
            "A base added with --prior-layers all keeps more.",
            lacking,
        )
