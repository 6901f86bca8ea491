from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from callers import ADA
from center_steps import request, submit_folder
from concept_packages import write_package
from mos_center.domain.access import LOCAL
from mos_center.domain.models import BaseRecord, Submission
from mos_center.domain.policy import Quota, Usage
from mos_center.opening import OpenedData
from mos_center.service.center import Center
from mos_center.service.members import MemberChange
from mos_center.service.quotas import MemberUsage, QuotaService
from mos_center.settings import Settings
from mos_protocol.errors import PermissionDenied, QuotaExceeded
from sqlalchemy import event

Limited = Callable[..., Center]


@pytest.fixture
def limited(settings: Settings, data: OpenedData, base: BaseRecord) -> Limited:
    """The same center with limits: `limited(quota_jobs=1)`."""
    return lambda **limits: OpenedData(settings.model_copy(update=limits)).center()


@pytest.fixture
def folder(base: BaseRecord, tmp_path: Path) -> Callable[..., Path]:
    """A new package; keywords are those of `write_package`."""
    return lambda name, **more: write_package(
        tmp_path / name, base.layer_map, concept=f"ada/{name}", words=(f"<{name}>",), **more
    )


def test_bytes_and_concepts_count_until_they_are_withdrawn(
    center: Center, submit: Callable[..., Submission]
) -> None:
    one, other = submit(concept="ada/one"), submit(concept="ada/one")
    submit(concept="bob/cat")
    assert center.quotas.usage("ada").used == Usage(one.size + other.size, 1, 0)

    center.withdrawal.withdraw("ada", "one", 1, "done", caller=ADA)

    assert center.quotas.usage("ada").used == Usage(other.size, 1, 0)
    assert center.quotas.usage("nobody").used == Usage(0, 0, 0)


def test_usage_of_many_members_is_read_at_once(
    limited: Limited, submit: Callable[..., Submission], data: OpenedData
) -> None:
    center = limited(quota_concepts=5)
    one, other = submit(concept="ada/one"), submit(concept="bob/cat")
    request(center, "demo", ["ada/one@1"], ADA)
    ada = center.members.add("ada", caller=LOCAL)
    bob = center.members.change(
        center.members.add("bob", caller=LOCAL).name,
        MemberChange(quota={"concepts": 1, "jobs": 0}),
        caller=LOCAL,
    )
    eve = center.members.add("eve", caller=LOCAL)
    asked: list[str] = []

    def note(connection: object, cursor: object, statement: str, *more: object) -> None:
        asked.append(statement)

    event.listen(data.database.engine, "before_cursor_execute", note)
    found = QuotaService(data.database, Quota(concepts=5)).usages([ada, bob, eve], caller=LOCAL)
    event.remove(data.database.engine, "before_cursor_execute", note)

    assert found == {
        "ada": MemberUsage(Usage(one.size, 1, 1), Quota(None, 5, None)),
        "bob": MemberUsage(Usage(other.size, 1, 0), Quota(None, 1, 0)),
        "eve": MemberUsage(Usage(), Quota(None, 5, None)),
    }
    assert len([statement for statement in asked if "FROM" in statement]) == 2
    with pytest.raises(PermissionDenied):
        center.quotas.usages([ada], caller=ADA)


def test_one_concept_too_many_is_refused_and_leaves_nothing(
    limited: Limited, folder: Callable[..., Path]
) -> None:
    center = limited(quota_concepts=1)
    submit_folder(center, folder("one"))

    with pytest.raises(QuotaExceeded, match="ada would have 2 concepts; the limit is 1") as error:
        submit_folder(center, folder("two"))

    assert (error.value.fields["usage"], error.value.fields["limit"]) == (2, 1)
    assert "Withdraw" in error.value.hint
    assert center.quotas.usage("ada").used.concepts == 1


def test_the_same_offer_again_needs_no_more_room(
    limited: Limited, folder: Callable[..., Path]
) -> None:
    package = folder("one")
    first = submit_folder(limited(), package)

    assert submit_folder(limited(quota_bytes=1, quota_concepts=1), package) == first
    with pytest.raises(QuotaExceeded, match=r"bytes; the limit is 1\."):
        submit_folder(limited(quota_bytes=1), folder("two"))


def test_a_members_own_limits_override_the_centers(
    limited: Limited, folder: Callable[..., Path], data: OpenedData
) -> None:
    center = limited(quota_concepts=1)
    member = center.members.add("ada", caller=LOCAL)
    submit_folder(center, folder("one"))

    with data.database.write() as transaction:
        transaction.members.update(replace(member, quota=Quota(concepts=2)))

    submit_folder(center, folder("two"))
    assert center.quotas.usage("ada").limits == Quota(None, 2, None)
    with pytest.raises(QuotaExceeded, match="would have 3 concepts; the limit is 2"):
        submit_folder(center, folder("three"))


def test_unfinished_fusions_are_limited_per_requester(
    limited: Limited, folder: Callable[..., Path]
) -> None:
    center = limited(quota_jobs=1)
    submit_folder(center, folder("one"))
    first = request(center, "demo", ["ada/one@1"], ADA)

    with pytest.raises(QuotaExceeded, match="ada would have 2 unfinished fusions; the limit is 1"):
        request(center, "other", ["ada/one@1"], ADA)

    assert request(center, "demo", ["ada/one@1"], ADA).id == first.id
    assert request(center, "other", ["ada/one@1"], LOCAL)
    center.fusions.cancel(first.id, ADA)
    assert request(center, "third", ["ada/one@1"], ADA)
