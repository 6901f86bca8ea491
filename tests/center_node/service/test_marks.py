from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from callers import ADA, BOB, EVE, RITA
from center_steps import fuse
from mos_center.domain.access import LOCAL, Scope, Visibility
from mos_center.domain.models import BaseRecord, Submission
from mos_center.domain.states import SubmissionState
from mos_center.opening import OpenedData
from mos_center.service.center import Center
from mos_protocol.errors import NotFound


def mark_of(digest: str) -> str:
    """What a picture carries of it."""
    return digest[:12]


def test_a_mark_names_the_version_and_its_concepts(
    center: Center, data: OpenedData, submit: Callable[..., Submission]
) -> None:
    submit(concept="ada/potter", words=("<potter>",))
    submit(concept="ada/cat", words=("<cat>",))
    fusion = fuse(center, data, "demo", ["ada/potter@1", "ada/cat@1"], ADA)
    fuse(center, data, "other", ["ada/cat@1"], ADA)

    found = center.marks.find(mark_of(fusion.build), caller=ADA)

    (version,) = found.versions
    assert (version.model, version.version) == ("demo", 1)
    assert [item.name for item in version.concepts] == ["ada/potter", "ada/cat"]
    assert (found.concepts, found.bases) == ((), ())


def test_the_same_weights_under_two_names_have_one_mark(
    center: Center, data: OpenedData, submit: Callable[..., Submission]
) -> None:
    submit(concept="ada/potter")
    builds = {fuse(center, data, name, ["ada/potter@1"], ADA).build for name in ("one", "two")}

    found = center.marks.find(mark_of(builds.pop()), caller=ADA)

    assert not builds
    assert [version.model for version in found.versions] == ["one", "two"]


def test_a_tombstoned_version_is_still_named(
    center: Center, data: OpenedData, submit: Callable[..., Submission]
) -> None:
    submit(concept="ada/potter")
    fusion = fuse(center, data, "demo", ["ada/potter@1"], ADA)
    center.models.tombstone("demo", "1", "no consent", caller=ADA)

    (version,) = center.marks.find(mark_of(fusion.build), caller=ADA).versions

    assert version.tombstone_reason == "no consent"


def test_an_unreadable_version_answers_like_an_unknown_one(
    center: Center, data: OpenedData, submit: Callable[..., Submission]
) -> None:
    submit(concept="ada/potter")
    fusion = fuse(center, data, "demo", ["ada/potter@1"], ADA)
    hidden, unknown = mark_of(fusion.build), "0" * 12

    with pytest.raises(NotFound) as first:
        center.marks.find(hidden, caller=EVE)
    with pytest.raises(NotFound) as second:
        center.marks.find(unknown, caller=EVE)

    assert first.value.message.replace(hidden, unknown) == second.value.message
    center.concepts.show("ada", "potter", Visibility.PUBLIC, caller=ADA)
    assert center.marks.find(hidden, caller=EVE).versions


def test_a_package_is_found_once_it_is_a_concept(
    center: Center, submit: Callable[..., Submission]
) -> None:
    concept = submit(concept="ada/potter", words=("<potter1>", "<potter2>"))
    mark = mark_of(concept.manifest_digest)

    (found,) = center.marks.find(mark, caller=ADA).concepts

    assert (found.name, found.version, found.trigger) == ("ada/potter", 1, "<potter1> <potter2>")
    assert found.state is SubmissionState.APPROVED
    with pytest.raises(NotFound):
        center.marks.find(mark, caller=BOB)
    center.withdrawal.withdraw("ada", "potter", 1, "asked to", caller=ADA)
    assert center.marks.find(mark, caller=RITA).concepts[0].state is SubmissionState.WITHDRAWN


def test_a_token_without_the_scope_learns_of_no_concept(
    center: Center, submit: Callable[..., Submission]
) -> None:
    concept = submit(concept="ada/potter")
    limited = replace(ADA, scopes=frozenset({Scope.MODEL_READ}))
    with pytest.raises(NotFound):
        center.marks.find(mark_of(concept.manifest_digest), caller=limited)


def test_a_base_is_known_to_everybody(center: Center, base: BaseRecord) -> None:
    assert center.marks.find(mark_of(base.digest), caller=EVE).bases == (base.name,)
    assert center.marks.find(mark_of(base.digest), caller=LOCAL).versions == ()
