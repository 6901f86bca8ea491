from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from callers import ADA, RITA, member
from center_steps import fuse, request, submit_folder
from concept_packages import write_package
from mos_center.domain.access import LOCAL, Caller, Role, Scope
from mos_center.domain.models import BaseRecord, Submission
from mos_center.domain.policy import Review
from mos_center.opening import OpenedData
from mos_center.service.center import Center
from mos_protocol.errors import JobFailed

BEN = member("ben")


def with_settings(data: OpenedData, **changes: object) -> Center:
    """A center on the same data whose operator chose otherwise."""
    data.settings = data.settings.model_copy(update=changes)
    return data.center()


@pytest.fixture
def waiting(data: OpenedData, base: BaseRecord, tmp_path: Path) -> list[Submission]:
    """Two packages that wait for review: of ada and of ben."""
    center = with_settings(data, review=Review.MANUAL, require_statements=False)
    names = ("ada/potter", "ben/chair")
    folders = [
        write_package(tmp_path / str(seed), base.layer_map, concept=name, seed=seed)
        for seed, name in enumerate(names)
    ]
    return [submit_folder(center, folder) for folder in folders]


def test_what_waits_is_a_curators_to_see_and_its_owners(
    center: Center, waiting: list[Submission]
) -> None:
    whole, mine = center.overview.of(RITA), center.overview.of(ADA)

    assert (whole.waiting.count, mine.waiting.count) == (2, 1)
    assert mine.waiting.oldest == waiting[0].created_at
    assert [one.concept for one in mine.to_review] == ["ada/potter"]
    assert center.overview.waiting(BEN).count == 1
    assert center.overview.waiting(member("zoe")).count == 0


def test_fusions_are_counted_by_who_asked_for_them(
    data: OpenedData, center: Center, submit: Callable[..., Submission]
) -> None:
    submit()
    failed = request(center, "broken", ["ada/potter@1"], ADA)
    data.ledger().started(failed.id)
    data.ledger().failed(failed.id, JobFailed("No memory."))
    started = request(center, "runs", ["ada/potter@1"], ADA)
    data.ledger().started(started.id)
    waits = request(center, "waits", ["ada/potter@1"], LOCAL)

    whole, hers, his = (center.overview.of(who) for who in (RITA, ADA, BEN))

    assert (whole.queued, whole.running, whole.failed) == (1, 1, 1)
    assert (hers.queued, hers.running, hers.failed) == (0, 1, 1)
    assert (his.queued, his.running, his.failed) == (0, 0, 0)
    assert [one.id for one in whole.failures] == [failed.id]
    assert {one.id: one.queue_position for one in whole.under_way} == {
        started.id: None,
        waits.id: 1,
    }
    assert his.under_way == his.failures == ()


def test_each_content_is_counted_once_and_what_is_gone_is_not(
    data: OpenedData, center: Center, submit: Callable[..., Submission]
) -> None:
    kept = submit()
    gone = submit(concept="ada/chair", words=("<chair1>",))
    fuse(center, data, "demo", ["ada/potter@1"])
    fuse(center, data, "demo", ["ada/potter@1", "ada/chair@1"])
    (first, second) = center.models.versions("demo", caller=LOCAL)
    center.withdrawal.withdraw("ada", "chair", 1, "asked to", caller=LOCAL)

    overview = center.overview.of(RITA)

    assert overview.stored is not None
    assert overview.stored.concepts == kept.size
    assert gone.size > 0
    assert overview.stored.models == first.files[0].size + second.files[0].size
    assert center.overview.of(ADA).stored is None


def test_members_are_counted_for_admins(data: OpenedData, center: Center) -> None:
    for name in ("ada", "ben"):
        center.members.add(name, caller=LOCAL)
    token, record = center.tokens.create("ada", "laptop", caller=LOCAL)
    center.tokens.create("ben", "laptop", caller=LOCAL)
    center.tokens.authenticate(token)

    people = center.overview.of(LOCAL).people

    assert people is not None
    assert (people.members, people.active) == (2, 1)
    with data.database.write() as transaction:
        transaction.tokens.used(record.id, datetime.now(UTC) - timedelta(days=31))
    assert center.overview.of(LOCAL).people.active == 0
    assert center.overview.of(RITA).people is None


def test_members_read_what_they_use_and_may_use(
    data: OpenedData, submit: Callable[..., Submission]
) -> None:
    submission = submit()

    overview = with_settings(data, quota_concepts=3).overview.of(ADA)

    assert (overview.used.concepts, overview.used.total_bytes) == (1, submission.size)
    assert overview.limits.concepts == 3


def test_a_token_that_is_good_for_nothing_sees_no_names(
    data: OpenedData, center: Center, submit: Callable[..., Submission]
) -> None:
    submit()
    fuse(center, data, "demo", ["ada/potter@1"])
    request(center, "waits", ["ada/potter@1"], ADA)
    weak = Caller.of("ada", Role.MEMBER, [Scope.FUSION_REQUEST], None)

    overview = center.overview.of(weak)

    assert (overview.waiting.count, overview.queued) == (0, 0)
    assert overview.to_review == overview.under_way == overview.failures == overview.published == ()
    assert [one.model for one in center.overview.of(ADA).published] == ["demo"]
