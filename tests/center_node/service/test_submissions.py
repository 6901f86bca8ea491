from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from callers import member
from center_steps import contents, send_files, stored, submit_folder
from concept_packages import small_layer_map, write_package
from mos_center.domain.access import LOCAL
from mos_center.domain.models import BaseRecord, Submission
from mos_center.domain.policy import Review
from mos_center.domain.states import SubmissionState
from mos_center.opening import OpenedData
from mos_center.service.center import Center
from mos_center.service.submissions import unsaid
from mos_center.settings import Settings
from mos_protocol.errors import Conflict, InvalidPackage, InvalidRequest, NotFound
from mos_protocol.manifest import MANIFEST_FILE, read_manifest
from mos_protocol.names import Digest


def test_an_offer_lists_every_file_and_later_only_what_is_missing(
    center: Center, package: Path
) -> None:
    manifest = (package / MANIFEST_FILE).read_bytes()
    first = center.submissions.offer(manifest, caller=LOCAL)
    blob = first.missing[0].entry
    with center.uploads.begin(first.submission.id, Digest(blob.sha256), caller=LOCAL) as upload:
        upload.write((package / blob.path).read_bytes())
        upload.finish()

    second = center.submissions.offer(manifest, caller=LOCAL)

    assert len(first.missing) == 4
    assert second.submission.id == first.submission.id
    assert {item.entry.path for item in second.missing} == {
        item.entry.path for item in first.missing[1:]
    }


def test_a_committed_package_is_approved_with_the_next_version(
    submit: Callable[..., Submission],
) -> None:
    first, second = submit(), submit()
    other = submit(concept="bob/potter")

    assert (first.state, first.version) == (SubmissionState.APPROVED, 1)
    assert (second.version, other.version) == (2, 1)


def test_offering_a_committed_package_again_asks_for_nothing(center: Center, package: Path) -> None:
    committed = submit_folder(center, package)

    again = center.submissions.offer((package / MANIFEST_FILE).read_bytes(), caller=LOCAL)

    assert again.submission == committed
    assert again.missing == ()
    assert center.validation.commit(committed.id, caller=LOCAL) == committed


def test_a_package_that_lacks_files_is_not_committed(center: Center, package: Path) -> None:
    offer = center.submissions.offer((package / MANIFEST_FILE).read_bytes(), caller=LOCAL)

    with pytest.raises(Conflict, match=r"4 files .* first concept\.safetensors"):
        center.validation.commit(offer.submission.id, caller=LOCAL)

    assert (
        center.submissions.get(offer.submission.id, caller=LOCAL).state is SubmissionState.UPLOADING
    )


def test_a_commit_that_was_killed_is_run_again(
    center: Center, data: OpenedData, package: Path
) -> None:
    submission = send_files(center, package)
    with data.database.write() as transaction:
        transaction.submissions.update(_with_state(submission, SubmissionState.VALIDATING))

    assert center.validation.commit(submission.id, caller=LOCAL).state is SubmissionState.APPROVED


def test_a_commit_whose_files_vanished_in_a_crash_asks_for_them_again(
    center: Center, data: OpenedData, package: Path
) -> None:
    submission = send_files(center, package)
    with data.database.write() as transaction:
        transaction.submissions.update(_with_state(submission, SubmissionState.VALIDATING))
    data.blobs.delete(Digest(contents(package)["concept.safetensors"]))

    with pytest.raises(Conflict, match="1 files"):
        center.validation.commit(submission.id, caller=LOCAL)

    assert submit_folder(center, package).state is SubmissionState.APPROVED


@pytest.fixture
def stated(base: BaseRecord, tmp_path: Path) -> Path:
    """A package that says what reviewers ask for."""
    said = {"licence": "CC-BY-4.0", "consent": "It is my own cat."}
    return write_package(tmp_path / "stated", base.layer_map, **said)


def test_with_manual_review_a_concept_waits_until_someone_approves(
    settings: Settings, stated: Path, data: OpenedData
) -> None:
    manual = OpenedData(settings.model_copy(update={"review": Review.MANUAL})).center()
    submission = submit_folder(manual, stated)
    assert (submission.state, submission.version) == (SubmissionState.PENDING_REVIEW, 1)

    manual.submissions.approve(submission.id, LOCAL)
    approved = manual.submissions.approve(submission.id, LOCAL)

    assert approved.state is SubmissionState.APPROVED
    with pytest.raises(Conflict, match="approved and can't become rejected"):
        manual.submissions.reject(submission.id, "too late", LOCAL)


def test_a_rejected_concept_leaves_only_the_reason_and_can_be_offered_again(
    settings: Settings, stated: Path, data: OpenedData
) -> None:
    manual = OpenedData(settings.model_copy(update={"review": Review.MANUAL})).center()
    submission = submit_folder(manual, stated)

    rejected = manual.submissions.reject(submission.id, "no consent", LOCAL)

    assert (rejected.state, rejected.reason) == (SubmissionState.REJECTED, "no consent")
    assert stored(data) == set()
    with pytest.raises(NotFound):
        manual.concepts.get("ada", "potter", 1, caller=LOCAL)
    with pytest.raises(Conflict, match="no consent"):
        manual.validation.commit(submission.id, caller=LOCAL)
    again = submit_folder(manual, stated)
    assert (again.id, again.version) == (submission.id, 1)
    assert again.state is SubmissionState.PENDING_REVIEW


def test_a_blob_that_no_manifest_lists_is_not_taken(center: Center, package: Path) -> None:
    offer = center.submissions.offer((package / MANIFEST_FILE).read_bytes(), caller=LOCAL)

    with pytest.raises(InvalidRequest, match="lists no file"):
        center.uploads.begin(offer.submission.id, Digest("f" * 64), caller=LOCAL)
    with pytest.raises(InvalidRequest, match="lists no file"):
        center.uploads.begin(offer.submission.id, Digest("../../etc/passwd"), caller=LOCAL)


def test_files_that_come_after_a_refusal_are_not_kept(
    center: Center, data: OpenedData, package: Path
) -> None:
    offer = center.submissions.offer((package / MANIFEST_FILE).read_bytes(), caller=LOCAL)
    entry = offer.missing[0].entry
    with center.uploads.begin(offer.submission.id, Digest(entry.sha256), caller=LOCAL) as upload:
        upload.write((package / entry.path).read_bytes())
        center.submissions.reject(offer.submission.id, "spam", LOCAL)

        with pytest.raises(Conflict, match="rejected and takes no files"):
            upload.finish()

    assert stored(data) == set()


def test_a_refused_offer_leaves_no_row(center: Center, base: object, package: Path) -> None:
    foreign = write_package(package.parent / "foreign", small_layer_map("cd" * 32))

    with pytest.raises(InvalidPackage, match=r"manifest\.json: tuned on base.*cdcdcd"):
        center.submissions.offer((foreign / MANIFEST_FILE).read_bytes(), caller=LOCAL)

    assert center.submissions.find(states=list(SubmissionState), limit=10, caller=LOCAL) == ()


def test_submissions_are_listed_newest_first_and_paged_by_id(
    center: Center, submit: Callable[..., Submission]
) -> None:
    made = [submit(concept=f"ada/c{number}") for number in range(3)]
    states = [SubmissionState.APPROVED]

    first = center.submissions.find(states=states, limit=2, caller=LOCAL)
    rest = center.submissions.find(states=states, before=first[-1].id, limit=2, caller=LOCAL)

    assert {item.id for item in (*first, *rest)} == {item.id for item in made}
    assert len(rest) == 1


def _with_state(submission: Submission, state: SubmissionState) -> Submission:
    return replace(submission, state=state)


def test_reviewers_are_told_what_a_package_leaves_unsaid(package: Path, stated: Path) -> None:
    assert unsaid(read_manifest(stated)) == ("there is no description",)
    assert unsaid(read_manifest(package)) == (
        "no licence is stated",
        "no consent of whoever is shown is stated",
        "there is no description",
    )


@pytest.mark.parametrize("missing", ["licence", "consent"])
def test_a_center_that_asks_for_statements_refuses_an_offer_without_them(
    settings: Settings, base: BaseRecord, tmp_path: Path, missing: str
) -> None:
    asking = OpenedData(settings.model_copy(update={"require_statements": True})).center()
    said = {"licence": "CC-BY-4.0", "consent": "He said yes.", missing: " "}
    package = write_package(tmp_path / "package", base.layer_map, **said)

    with pytest.raises(InvalidPackage, match=f"`{missing}` is empty") as refusal:
        asking.submissions.offer((package / MANIFEST_FILE).read_bytes(), caller=LOCAL)

    assert refusal.value.file == MANIFEST_FILE
    assert f"--{missing} " in refusal.value.hint
    assert asking.submissions.find(states=list(SubmissionState), limit=10, caller=LOCAL) == ()


def test_packages_of_trusted_members_need_no_reviewer_where_that_is_the_policy(
    settings: Settings, center: Center, base: BaseRecord, tmp_path: Path
) -> None:
    trusting = OpenedData(settings.model_copy(update={"review": Review.TRUSTED})).center()
    said = {"licence": "CC-BY-4.0", "consent": "He said yes."}
    center.members.add("ada", trusted=True, caller=LOCAL)
    center.members.add("bob", caller=LOCAL)

    states = {}
    for owner in ("ada", "bob"):
        folder = write_package(tmp_path / owner, base.layer_map, concept=f"{owner}/cat", **said)
        states[owner] = submit_folder(trusting, folder, caller=member(owner)).state

    assert states == {
        "ada": SubmissionState.APPROVED,
        "bob": SubmissionState.PENDING_REVIEW,
    }
