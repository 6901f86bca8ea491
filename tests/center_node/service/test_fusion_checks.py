"""What is said of a request before it is made, and that the request is refused with the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from callers import ADA, BOB
from center_steps import fuse, submit_folder
from concept_packages import (
    edit_manifest,
    edit_tensors,
    reseal,
    small_layer_map,
    write_package,
)
from mos_center.domain.access import LOCAL, Caller, Visibility
from mos_center.domain.models import BaseRecord, Priority, Solver, Submission
from mos_center.domain.policy import Review
from mos_center.opening import OpenedData
from mos_center.service.center import Center
from mos_center.service.fusion_findings import Finding, FindingKind, Subject
from mos_center.service.fusion_requests import FusionRequest, WantedConcept
from mos_center.settings import Settings
from mos_protocol.errors import MosError
from mos_protocol.manifest import CONCEPT_FILE
from mos_protocol.moments import moments_path
from mos_protocol.names import Digest
from mos_protocol.part_weights import PartWeights

Submit = Callable[..., Submission]


def wanted(*names: str, model: str = "demo", **options: Any) -> FusionRequest:
    concepts = [WantedConcept(name) for name in names]
    return FusionRequest(model=model, base="small", concepts=concepts, **options)


def errors(center: Center, request: FusionRequest, caller: Caller = LOCAL) -> list[Finding]:
    found = center.fusions.check(request, caller=caller).findings
    return [finding for finding in found if finding.kind is FindingKind.ERROR]


def refusal(center: Center, request: FusionRequest, caller: Caller = LOCAL) -> MosError:
    with pytest.raises(MosError) as refused:
        center.fusions.request(request, caller=caller)
    return refused.value


def warnings(center: Center, request: FusionRequest) -> list[Finding]:
    found = center.fusions.check(request, caller=LOCAL).findings
    return [finding for finding in found if finding.kind is FindingKind.WARNING]


def leave_out(folder: Path, block: str) -> None:
    """Have a package change nothing of the block, and know nothing of it."""

    def drop(tensors: dict[str, Any]) -> None:
        for name in [name for name in tensors if name.startswith(block)]:
            del tensors[name]

    edit_tensors(folder / CONCEPT_FILE, drop)
    (folder / moments_path(block)).unlink()
    reseal(folder)


@pytest.fixture
def many(submit: Submit, center: Center, tmp_path: Path) -> Center:
    """Concepts that do not go together, and a base without a prior."""
    submit(concept="ada/potter", words=("<potter1>", "<potter2>"))
    submit(concept="eve/fake", words=("<potter1>", "<potter2>"))
    submit(concept="bob/cat", words=("<cat>",))
    submit(concept="bob/hidden", words=("<cat>",))
    submit(concept="kim/cat", words=("<cat>",))
    submit(concept="bob/gone", words=("<gone>",))
    for name in ("ada/potter", "eve/fake", "bob/cat", "kim/cat", "bob/gone"):
        center.concepts.show(*name.split("/"), Visibility.PUBLIC, caller=LOCAL)
    center.withdrawal.withdraw("bob", "gone", 1, "asked to", caller=BOB)
    return center


def test_everything_that_stands_against_a_request_is_said_at_once(many: Center) -> None:
    names = ("ada/potter", "eve/fake", "ada/nobody", "bob/hidden", "bob/cat", "kim/cat", "bob/gone")
    request = wanted(*(name for name in names if name != "bob/gone"), prior_weight=0.5)
    gone = WantedConcept("bob/gone", 1)
    request = FusionRequest(
        "demo", "small", [*request.concepts, gone], prior_weight=0.5, priority=Priority.HIGH
    )

    found = errors(many, request, ADA)

    assert [(finding.message.partition(".")[0], finding.concepts) for finding in found] == [
        ("There is no concept ada/nobody", ("ada/nobody",)),
        ("There is no concept bob/hidden", ("bob/hidden",)),
        ("bob/gone@1 is withdrawn", ("bob/gone@1",)),
        (
            "ada/potter@1 and eve/fake@1 share the words <potter1> <potter2>",
            ("ada/potter@1", "eve/fake@1"),
        ),
        ("bob/cat@1 and kim/cat@1 share the word <cat>", ("bob/cat@1", "kim/cat@1")),
        ("Base 'small' has no prior moments, but prior_weight is 0", ()),
        ("This needs the role curator, and ada is member", ()),
    ]
    assert refusal(many, request, ADA).message == found[0].message


@pytest.mark.parametrize(
    ("request_of", "subject"),
    [
        (lambda: wanted("ada/nobody"), Subject.CONCEPTS),
        (lambda: wanted("ada/potter", "eve/fake"), Subject.CONCEPTS),
        (lambda: wanted("ada/potter", "ada/potter"), Subject.CONCEPTS),
        (lambda: wanted("ada/potter", prior_weight=0.5), Subject.SETTINGS),
        (lambda: wanted("ada/potter", priority=Priority.HIGH), Subject.SETTINGS),
        (lambda: wanted("ada/potter", model="theirs"), Subject.MODEL),
        (lambda: FusionRequest("demo", "sd15", [WantedConcept("ada/potter")]), Subject.BASE),
    ],
)
def test_a_request_is_refused_with_what_its_check_says(
    many: Center, data: OpenedData, request_of: Callable[[], FusionRequest], subject: Subject
) -> None:
    fuse(many, data, "theirs", ["bob/cat@1"], BOB)

    check = many.fusions.check(request_of(), caller=ADA)
    error = refusal(many, request_of(), ADA)

    assert not check.is_possible
    assert [(one.message, one.hint, one.subject) for one in check.findings if one.error] == [
        (error.message, error.hint, subject)
    ]


def test_a_check_changes_nothing(many: Center, data: OpenedData) -> None:
    with data.database.read() as transaction:
        before = transaction.audit.entries(after=0, limit=1000)

    assert many.fusions.check(wanted("ada/potter"), caller=ADA).is_possible

    assert many.fusions.find(caller=LOCAL, limit=9) == ()
    with data.database.read() as transaction:
        assert transaction.audit.entries(after=0, limit=1000) == before
        assert transaction.models.owner("demo") is None


def test_a_concept_of_another_base_is_named_with_both(many: Center, tmp_path: Path) -> None:
    many.bases.add("other", tmp_path, small_layer_map("cd" * 32), {})
    request = FusionRequest("demo", "other", [WantedConcept("ada/potter"), WantedConcept("x/y")])

    found = errors(many, request)

    assert "tuned on base 'small', not 'other'" in found[0].message
    assert [finding.concepts for finding in found] == [("ada/potter@1",), ("x/y",)]


def test_the_version_that_a_request_becomes_is_foretold(many: Center, data: OpenedData) -> None:
    request = wanted("ada/potter")

    new = many.fusions.check(request, caller=LOCAL)
    queued, _ = many.fusions.request(request, caller=LOCAL)
    known = many.fusions.check(request, caller=LOCAL)
    other = many.fusions.check(wanted("bob/cat"), caller=LOCAL)
    fuse(many, data, "demo", ["kim/cat@1"])
    later = many.fusions.check(wanted("bob/cat"), caller=LOCAL)

    assert (new.version, new.known) == (1, None)
    assert "demo is a new model; this becomes demo@1" in new.findings[-1].message
    assert (known.known, known.version) == (queued, 1)
    assert f"queued already, as fusion {queued.id}" in known.findings[-1].message
    assert (other.known, other.version) == (None, 1)
    assert later.findings[-1].message == "This becomes demo@2, the model's next version."


def test_a_published_build_is_the_answer_until_it_is_tombstoned(
    many: Center, data: OpenedData
) -> None:
    fuse(many, data, "demo", ["bob/cat@1"])
    published = many.fusions.check(wanted("bob/cat"), caller=LOCAL)
    many.models.tombstone("demo", "1", "a mistake", caller=LOCAL)

    found = errors(many, wanted("bob/cat"))

    assert published.is_possible
    assert published.version == 1
    assert "This is demo@1 already" in published.findings[-1].message
    assert "not given out any more: a mistake" in found[0].message
    assert refusal(many, wanted("bob/cat")).message == found[0].message


def test_a_full_quota_stands_against_what_is_new_alone(
    settings: Settings, data: OpenedData, many: Center
) -> None:
    limited = OpenedData(settings.model_copy(update={"quota_jobs": 1})).center()
    limited.fusions.request(wanted("ada/potter"), caller=ADA)

    found = errors(limited, wanted("bob/cat"), ADA)

    assert "ada would have 2 unfinished fusions; the limit is 1" in found[0].message
    assert refusal(limited, wanted("bob/cat"), ADA).message == found[0].message
    assert limited.fusions.check(wanted("ada/potter"), caller=ADA).is_possible


def test_a_word_of_the_base_itself_is_taken(
    center: Center, submit: Submit, base: BaseRecord
) -> None:
    submit(concept="bob/cat", words=("<cat>", "<own>"))
    (base.path / "tokenizer").mkdir()
    tokens = {"added_tokens": [{"id": 5, "content": "<own>"}]}
    (base.path / "tokenizer/tokenizer.json").write_text(json.dumps(tokens))

    found = errors(center, wanted("bob/cat"))

    assert found[0].message == "The word <own> of bob/cat@1 is already one of base 'small'."
    assert refusal(center, wanted("bob/cat")).message == found[0].message


def test_a_package_whose_files_are_lost_can_not_be_fused(
    settings: Settings, data: OpenedData, many: Center
) -> None:
    submission = many.concepts.get("bob", "cat", 1, caller=LOCAL)
    for path in (moments_path("unet.mid_block"), "previews/0.7.png"):
        entry = submission.manifest.file(path)
        assert entry is not None
        data.blobs.delete(Digest(entry.sha256))
    fresh = OpenedData(settings).center()

    found = errors(fresh, wanted("bob/cat", "ada/potter"))

    assert [finding.concepts for finding in found] == [("bob/cat@1",)]
    assert "1 files of bob/cat@1 are not in the center's store" in found[0].message
    assert refusal(fresh, wanted("bob/cat")).message == found[0].message


def test_a_weight_where_the_concept_changes_nothing_is_a_warning(
    center: Center, base: BaseRecord, tmp_path: Path
) -> None:
    folder = write_package(tmp_path / "cat", concept="bob/cat", words=("<cat>",))
    edit_manifest(folder, lambda manifest: manifest["training"].update(layers="cross"))
    submit_folder(center, folder)
    without = [WantedConcept("bob/cat", weights=PartWeights(spatial=0))]

    found = warnings(center, wanted("bob/cat"))

    assert [finding.concepts for finding in found] == [("bob/cat@1",)]
    assert "no spatial part" in found[0].message
    assert center.fusions.check(wanted("bob/cat"), caller=LOCAL).is_possible
    assert warnings(center, FusionRequest("demo", "small", without)) == []


@pytest.mark.parametrize(
    ("solver", "expected"), [(Solver.CLOSED_FORM, ["kim/plain@1"]), (Solver.SUM, [])]
)
def test_blocks_that_only_some_concepts_know_are_a_warning(
    center: Center, tmp_path: Path, solver: Solver, expected: list[str]
) -> None:
    layers = small_layer_map("cd" * 32)
    mid = layers.blocks[1]
    layers = layers.model_copy(update={"blocks": layers.blocks[:1], "extra_blocks": (mid,)})
    center.bases.add("wide", tmp_path, layers, {})
    for name in ("kim/plain", "bob/wide"):
        folder = write_package(
            tmp_path / name.replace("/", "-"), layers, concept=name, words=(f"<{name[:3]}>",)
        )
        if name == "kim/plain":
            leave_out(folder, mid.name)
        submit_folder(center, folder)
    request = FusionRequest(
        "demo", "wide", [WantedConcept("kim/plain"), WantedConcept("bob/wide")], solver=solver
    )

    found = warnings(center, request)

    assert [ref for finding in found for ref in finding.concepts] == expected
    assert all("change unet.mid_block, and kim/plain@1 has no" in one.message for one in found)


def of_keys_and_values(center: Center, folder: Path, recording: str) -> None:
    """Submit bob/mug, which changes keys and values alone."""
    write_package(folder, concept="bob/mug", words=("<mug>",))

    def change(manifest: dict[str, Any]) -> None:
        manifest["training"].update(layers="keys-values")
        manifest["moments"].update(recording=recording)

    edit_manifest(folder, change)
    submit_folder(center, folder)


def test_what_custom_diffusion_can_not_fuse_is_refused_at_the_concept(
    many: Center, tmp_path: Path
) -> None:
    of_keys_and_values(many, tmp_path / "mug", "data")
    request = wanted("ada/potter", "bob/mug", solver=Solver.CUSTOM_DIFFUSION)

    found = errors(many, request)

    assert [finding.concepts for finding in found] == [("ada/potter@1",), ("bob/mug@1",), ()]
    assert "changes text_encoder and spatial" in found[0].message
    assert "recorded its moments by 'data'" in found[1].message
    assert "needs the prior moments of base 'small'" in found[2].message
    assert refusal(many, request).message == found[0].message


def test_custom_diffusion_fuses_keys_and_values_where_the_base_has_a_prior(
    center: Center, tmp_path: Path
) -> None:
    layers = small_layer_map()
    generic = write_package(tmp_path / "prior")
    prior = {block.name: generic / moments_path(block.name) for block in layers.blocks}
    center.bases.add("small", tmp_path, layers, prior)
    of_keys_and_values(center, tmp_path / "mug", "paper")
    request = wanted("bob/mug", solver=Solver.CUSTOM_DIFFUSION)

    fusion, _ = center.fusions.request(request, caller=LOCAL)

    assert fusion.solver is Solver.CUSTOM_DIFFUSION
    assert (fusion.ridge, fusion.prior_weight, fusion.refine_rounds) == (None, 0, 0)


def test_concepts_that_lose_their_change_by_no_fusion_are_warned_of(many: Center) -> None:
    found = warnings(many, wanted("bob/cat", solver=Solver.NONE))

    assert [finding.concepts for finding in found] == [("bob/cat@1",)]
    assert "inserts its words alone" in found[0].message
    assert many.fusions.check(wanted("bob/cat", solver=Solver.NONE), caller=LOCAL).is_possible


def test_concepts_are_checked_before_the_rest_of_the_request_is_known(many: Center) -> None:
    concepts = wanted("bob/cat", "kim/cat", "bob/hidden").concepts

    found = many.fusions.check_concepts("small", concepts, caller=ADA)

    assert [finding.concepts for finding in found] == [
        ("bob/hidden",),
        ("bob/cat@1", "kim/cat@1"),
    ]
    assert many.fusions.check_concepts("sd15", concepts, caller=ADA) == ()


def test_what_waits_for_review_is_said_to_its_owner_and_hidden_from_others(
    settings: Settings, data: OpenedData, many: Center, tmp_path: Path
) -> None:
    changes = {"review": Review.MANUAL, "require_statements": False}
    careful = OpenedData(settings.model_copy(update=changes)).center()
    submit_folder(
        careful, write_package(tmp_path / "new", concept="ada/new", words=("<new>",), seed=77)
    )
    request = FusionRequest("demo", "small", [WantedConcept("ada/new", 1)])

    assert "ada/new@1 is pending_review" in errors(careful, request, ADA)[0].message
    assert "no concept ada/new@1" in errors(careful, request, BOB)[0].message
