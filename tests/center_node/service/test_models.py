from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from callers import ADA, EVE
from center_steps import fuse, publish, publish_as, stored
from mos_center.domain.access import LOCAL, Visibility
from mos_center.domain.models import Submission
from mos_center.opening import OpenedData
from mos_center.service.center import Center
from mos_center.service.fusion_requests import FusionRequest, WantedConcept
from mos_protocol.errors import Gone, NotFound, PermissionDenied
from reports import small_report


@pytest.fixture
def two_versions(center: Center, data: OpenedData, submit: Callable[..., Submission]) -> None:
    """Versions 1 and 2 of the model demo."""
    submit(), submit()
    for version in (1, 2):
        publish(center, data, "demo", version, {"README.md": b"card %d" % version})


def test_a_version_is_found_by_number_by_alias_and_as_the_latest(
    center: Center, two_versions: None
) -> None:
    pointed = center.aliases.point("demo", "champion", 1, LOCAL)

    assert pointed.aliases == ("champion",)
    assert center.models.get("demo", "champion", caller=LOCAL).version == 1
    assert center.models.get("demo", "1", caller=LOCAL).version == 1
    assert center.models.get("demo", "latest", caller=LOCAL).version == 2
    assert center.models.get("demo", "2", caller=LOCAL).aliases == ("latest",)
    assert [version.version for version in center.models.versions("demo", caller=LOCAL)] == [2, 1]


@pytest.mark.parametrize("revision", ["3", "0", "challenger", "99999999999999999999"])
def test_a_revision_that_is_not_there_is_not_found(
    center: Center, two_versions: None, revision: str
) -> None:
    with pytest.raises(NotFound, match=f"no model demo@{revision}"):
        center.models.get("demo", revision, caller=LOCAL)


def test_a_file_is_found_by_its_path_alone(center: Center, two_versions: None) -> None:
    assert center.models.file("demo", "1", "README.md", caller=LOCAL).size == 6
    with pytest.raises(NotFound, match=r"has no file '\.\./README\.md'"):
        center.models.file("demo", "1", "../README.md", caller=LOCAL)


def test_a_tombstoned_version_is_listed_but_gives_no_files_out(
    center: Center, two_versions: None
) -> None:
    buried = center.models.tombstone("demo", "2", "wrong weights", caller=LOCAL)

    assert buried.tombstone_reason == "wrong weights"
    assert center.models.tombstone("demo", "2", "again", caller=LOCAL) == buried
    assert [item.version for item in center.models.versions("demo", caller=LOCAL)] == [2, 1]
    with pytest.raises(Gone, match="demo@2 was withdrawn: wrong weights"):
        center.models.file("demo", "2", "README.md", caller=LOCAL)


def test_latest_is_the_newest_version_that_is_given_out(center: Center, two_versions: None) -> None:
    center.models.tombstone("demo", "2", "wrong weights", caller=LOCAL)
    assert center.models.get("demo", "latest", caller=LOCAL).version == 1

    center.models.tombstone("demo", "1", "wrong too", caller=LOCAL)
    assert center.models.get("demo", "latest", caller=LOCAL).version == 2


def test_only_the_models_owner_and_curators_tombstone(
    center: Center, data: OpenedData, submit: Callable[..., Submission]
) -> None:
    submit()
    fuse(center, data, "mine", ["ada/potter@1"], ADA)
    with pytest.raises(NotFound):
        center.models.tombstone("mine", "1", "no", caller=EVE)
    center.concepts.show("ada", "potter", Visibility.PUBLIC, caller=ADA)
    with pytest.raises(PermissionDenied, match="'mine' belongs to ada"):
        center.models.tombstone("mine", "1", "no", caller=EVE)

    assert center.models.tombstone("mine", "1", "yes", caller=ADA).tombstoned_at


def test_versions_expire_unless_they_are_aliased_or_the_newest(
    center: Center, data: OpenedData, submit: Callable[..., Submission]
) -> None:
    for version in (1, 2, 3, 4):
        submit()
        fuse(center, data, "demo", [f"ada/potter@{version}"])
    center.aliases.point("demo", "champion", 1, LOCAL)
    center.models.tombstone("demo", "4", "wrong weights", caller=LOCAL)
    now = datetime.now(UTC)

    assert center.models.expire(now - timedelta(days=1)) == ()
    expired = center.models.expire(now + timedelta(days=1))

    assert [str(ref) for ref in expired] == ["demo@2"]
    assert center.models.get("demo", "2", caller=LOCAL).tombstone_reason == "expired by retention"
    assert center.models.expire(now + timedelta(days=1)) == ()


def test_files_of_a_tombstoned_version_are_kept_for_a_while_and_then_released(
    center: Center, data: OpenedData, submit: Callable[..., Submission]
) -> None:
    submit()
    publish(center, data, "one", 1, {"same": b"shared", "own": b"of one"})
    publish(center, data, "other", 1, {"same": b"shared"})
    own = center.models.file("one", "1", "own", caller=LOCAL).sha256
    center.models.tombstone("one", "1", "wrong weights", caller=LOCAL)
    now, before = datetime.now(UTC), stored(data)

    assert center.models.release(now - timedelta(hours=1)) == ()
    assert stored(data) == before
    assert [str(ref) for ref in center.models.release(now + timedelta(hours=1))] == ["one@1"]
    assert stored(data) == before - {own}
    assert center.models.get("one", "1", caller=LOCAL).files == ()
    assert center.models.release(now + timedelta(hours=1)) == ()


def test_versions_are_read_in_pages(
    center: Center, data: OpenedData, submit: Callable[..., Submission]
) -> None:
    for version in (1, 2, 3):
        submit()
        fuse(center, data, "demo", [f"ada/potter@{version}"])

    first = center.models.versions("demo", caller=LOCAL, limit=2)
    rest = center.models.versions("demo", caller=LOCAL, before=2, limit=2)

    assert [item.version for item in (*first, *rest)] == [3, 2, 1]
    assert ["latest" in item.aliases for item in (*first, *rest)] == [True, False, False]
    assert center.models.versions("demo", caller=LOCAL, before=1) == ()
    with pytest.raises(NotFound):
        center.models.versions("demo", caller=EVE, before=2)


def test_a_report_is_told_whole_or_in_part_and_stays_with_a_tombstone(
    center: Center, data: OpenedData, submit: Callable[..., Submission]
) -> None:
    submit()
    report = small_report({"ada/potter@1": 0.75})
    wanted = FusionRequest("demo", "small", [WantedConcept("ada/potter")])
    publish_as(center, data, wanted, {"report.json": b"{}"}, report)

    center.models.tombstone("demo", "1", "wrong weights", caller=LOCAL)

    assert center.models.report("demo", "latest", caller=LOCAL) == report
    told = center.models.report("demo", "1", caller=LOCAL, entries=("kept", "layers", "none"))
    assert told == {"kept": report["kept"], "layers": report["layers"]}
    with pytest.raises(NotFound):
        center.models.report("demo", "1", caller=EVE)
