from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from callers import ADA, BOB, EVE
from center_steps import fuse, publish_as
from mos_center.domain.access import LOCAL, Scope, Visibility
from mos_center.domain.build import ENGINE_VERSION
from mos_center.domain.lineage import VersionRef
from mos_center.domain.models import Submission
from mos_center.domain.states import SubmissionState
from mos_center.opening import OpenedData
from mos_center.service.center import Center
from mos_center.service.fusion_requests import FusionRequest, WantedConcept
from mos_protocol.errors import NotFound
from mos_protocol.names import Digest
from reports import small_report


@pytest.fixture
def concepts(submit: Callable[..., Submission], center: Center) -> tuple[Submission, Submission]:
    """ada's potter, which everybody sees, and bob's private cat."""
    said = {"licence": "CC-BY-4.0", "consent": "He said yes."}
    potter = submit(concept="ada/potter", words=("<potter>",), **said)
    cat = submit(concept="bob/cat", words=("<cat>",))
    center.concepts.show("ada", "potter", Visibility.PUBLIC, caller=LOCAL)
    return potter, cat


def test_a_version_tells_what_it_was_made_of(
    center: Center, data: OpenedData, concepts: tuple[Submission, Submission]
) -> None:
    fusion = fuse(center, data, "both", ["ada/potter@1", "bob/cat@1"], BOB)

    lineage = center.lineage.of_version("both", "latest", caller=BOB)

    assert [
        (item.ref, item.owner, item.manifest_digest, item.visibility)
        for item in lineage.ingredients
    ] == [
        ("ada/potter@1", "ada", concepts[0].manifest_digest, Visibility.PUBLIC),
        ("bob/cat@1", "bob", concepts[1].manifest_digest, Visibility.PRIVATE),
    ]
    potter = lineage.ingredients[0]
    assert (potter.licence, potter.consent) == ("CC-BY-4.0", "He said yes.")
    assert (lineage.fusion.id, lineage.fusion.engine) == (fusion.id, ENGINE_VERSION)
    assert (lineage.predecessor, lineage.refusion_of, lineage.refusions) == (None, None, ())


def test_lineage_tells_how_concepts_stand_now(
    center: Center, data: OpenedData, concepts: tuple[Submission, Submission]
) -> None:
    fuse(center, data, "demo", ["ada/potter@1"], BOB)
    center.withdrawal.withdraw("ada", "potter", 1, "asked to", caller=ADA)

    (item,) = center.lineage.of_version("demo", "1", caller=BOB).ingredients

    assert item.state is SubmissionState.WITHDRAWN


def test_a_concept_tells_the_models_that_the_caller_may_read(
    center: Center, data: OpenedData, concepts: tuple[Submission, Submission]
) -> None:
    for model, refs in (
        ("first", ["ada/potter@1"]),
        ("second", ["ada/potter@1", "bob/cat@1"]),
        ("third", ["ada/potter@1"]),
    ):
        fuse(center, data, model, refs, BOB)

    def found(caller: object, **page: object) -> list[str]:
        versions = center.lineage.versions_with(
            "ada", "potter", 1, caller=caller, **{"limit": 10, **page}
        )
        return [version.model for version in versions]

    assert sorted(found(BOB)) == ["first", "second", "third"]
    assert sorted(found(ADA)) == sorted(found(EVE)) == ["first", "third"]
    last = center.models.get(found(BOB, limit=2)[-1], "1", caller=LOCAL)
    assert len(found(BOB, before=last.fusion_id)) == 1
    with pytest.raises(NotFound):
        center.lineage.versions_with("bob", "cat", 1, caller=EVE, limit=10)


def test_a_file_tells_who_holds_it_as_far_as_the_caller_sees(
    center: Center, data: OpenedData, concepts: tuple[Submission, Submission]
) -> None:
    fuse(center, data, "mine", ["bob/cat@1"], BOB)
    cat = concepts[1]
    tensors = Digest(cat.manifest.files[0].sha256)
    weights = center.models.get("mine", "1", caller=BOB).files[0].sha256

    for digest, path in ((tensors, cat.manifest.files[0].path), (cat.manifest_digest, None)):
        (holder,) = center.lineage.holders(digest, caller=BOB).concepts
        assert (holder.concept, holder.version) == ("bob/cat", 1)
        assert holder.path == (path or "manifest.json")
    (version,) = center.lineage.holders(weights, caller=BOB).versions
    assert (version.model, version.version, version.path) == ("mine", 1, "weights.bin")
    for digest in (tensors, cat.manifest_digest, weights, Digest("0" * 64)):
        with pytest.raises(NotFound, match="Nothing here has a file"):
            center.lineage.holders(digest, caller=EVE)


def test_a_token_for_models_alone_finds_no_concepts(
    center: Center, concepts: tuple[Submission, Submission]
) -> None:
    reader = replace(BOB, scopes=frozenset({Scope.MODEL_READ}))

    with pytest.raises(NotFound):
        center.lineage.holders(concepts[1].manifest_digest, caller=reader)


def test_neighbours_are_the_nearest_that_the_caller_may_read(
    center: Center, data: OpenedData, concepts: tuple[Submission, Submission]
) -> None:
    for refs in (["ada/potter@1"], ["ada/potter@1", "bob/cat@1"], ["bob/cat@1", "ada/potter@1"]):
        fuse(center, data, "demo", refs, BOB)
    center.models.tombstone("demo", "3", "wrong weights", caller=BOB)

    middle = center.lineage.of_version("demo", "2", caller=BOB)

    assert (middle.predecessor, middle.successor) == (1, 3)
    assert middle.tombstoned == {VersionRef("demo", 3)}
    for_ada = center.lineage.of_version("demo", "1", caller=ADA)
    assert (for_ada.predecessor, for_ada.successor, for_ada.tombstoned) == (None, None, set())


def test_ingredients_tell_their_pictures_and_whether_the_concept_may_be_seen(
    center: Center, data: OpenedData, concepts: tuple[Submission, Submission]
) -> None:
    fuse(center, data, "both", ["ada/potter@1", "bob/cat@1"], BOB)
    center.concepts.show("ada", "potter", Visibility.PRIVATE, caller=ADA)

    found = center.lineage.of_version("both", "1", caller=BOB).ingredients

    assert [item.previews for item in found] == [("previews/0.7.png",)] * 2
    assert [item.is_listed for item in found] == [False, True]


def test_lineage_comes_with_the_quality_of_the_version(
    center: Center, data: OpenedData, concepts: tuple[Submission, Submission]
) -> None:
    wanted = FusionRequest("demo", "small", [WantedConcept("ada/potter")])
    publish_as(center, data, wanted, {"card": b"#"}, small_report({"ada/potter@1": 0.75}))

    lineage, quality = center.lineage.with_quality("demo", "latest", caller=EVE)

    assert lineage == center.lineage.of_version("demo", "latest", caller=EVE)
    assert [(item.ref, item.result) for item in quality.kept] == [("ada/potter@1", 0.75)]
