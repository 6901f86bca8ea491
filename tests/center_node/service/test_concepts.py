from __future__ import annotations

from collections.abc import Callable

import pytest
from callers import ADA, BOB, EVE, RITA
from center_steps import fuse, request
from mos_center.domain.access import LOCAL, Visibility
from mos_center.domain.models import Submission
from mos_center.opening import OpenedData
from mos_center.service.center import Center
from mos_protocol.errors import NotFound, PermissionDenied
from mos_protocol.names import parse_concept_ref

PRIVATE, SHARED, PUBLIC = Visibility.PRIVATE, Visibility.SHARED, Visibility.PUBLIC


@pytest.fixture
def potter(submit: Callable[..., Submission], center: Center) -> Submission:
    """ada's private concept; bob is a member."""
    center.members.add("bob", caller=LOCAL)
    return submit(concept="ada/potter", words=("<potter>",))


def sees(center: Center, caller: object) -> bool:
    try:
        center.concepts.get("ada", "potter", 1, caller=caller)
    except NotFound:
        return False
    return True


def test_visibility_says_who_sees_a_concept(center: Center, potter: Submission) -> None:
    center.concepts.share("ada", "potter", "bob", caller=ADA)
    seen = {}
    for visibility in Visibility:
        center.concepts.show("ada", "potter", visibility, caller=ADA)
        seen[visibility] = [sees(center, caller) for caller in (ADA, RITA, BOB, EVE)]

    assert seen == {
        PRIVATE: [True, True, False, False],
        SHARED: [True, True, True, False],
        PUBLIC: [True, True, True, True],
    }


def test_an_overview_tells_shares_to_the_owner_and_curators_alone(
    center: Center, potter: Submission
) -> None:
    center.concepts.show("ada", "potter", SHARED, caller=ADA)
    center.concepts.share("ada", "potter", "bob", caller=ADA)

    for caller, shares in ((ADA, ("bob",)), (RITA, ("bob",)), (BOB, None)):
        overview = center.concepts.overview("ada", "potter", caller=caller)
        assert overview.shares == shares
        assert [item.version for item in overview.versions] == [1]
    with pytest.raises(NotFound, match="no concept ada/potter"):
        center.concepts.overview("ada", "potter", caller=EVE)
    center.concepts.unshare("ada", "potter", "bob", caller=ADA)
    with pytest.raises(NotFound):
        center.concepts.overview("ada", "potter", caller=BOB)


def test_a_concept_is_shared_with_members_only(center: Center, potter: Submission) -> None:
    with pytest.raises(NotFound, match="no member 'nobody'"):
        center.concepts.share("ada", "potter", "nobody", caller=ADA)


def test_only_its_owner_and_admins_decide_who_sees_a_concept(
    center: Center, potter: Submission
) -> None:
    with pytest.raises(NotFound):
        center.concepts.show("ada", "potter", PUBLIC, caller=EVE)
    center.concepts.show("ada", "potter", PUBLIC, caller=LOCAL)
    for caller in (EVE, RITA):
        with pytest.raises(PermissionDenied, match="belongs to ada"):
            center.concepts.show("ada", "potter", PRIVATE, caller=caller)
        with pytest.raises(PermissionDenied, match="belongs to ada"):
            center.concepts.share("ada", "potter", "bob", caller=caller)


def test_hiding_a_concept_hides_published_models_from_those_who_do_not_see_it(
    center: Center, data: OpenedData, potter: Submission
) -> None:
    center.concepts.show("ada", "potter", PUBLIC, caller=ADA)
    fuse(center, data, "mine", ["ada/potter@1"], BOB)
    assert center.models.get("mine", "latest", caller=EVE).version == 1

    center.concepts.show("ada", "potter", PRIVATE, caller=ADA)

    with pytest.raises(NotFound):
        center.models.get("mine", "latest", caller=EVE)
    for caller in (ADA, BOB, RITA):
        assert center.models.file("mine", "1", "weights.bin", caller=caller)
    with pytest.raises(NotFound):
        request(center, "again", ["ada/potter@1"], BOB)


def test_changes_of_who_sees_it_are_audited_once(
    center: Center, data: OpenedData, potter: Submission
) -> None:
    for _ in range(2):
        center.concepts.show("ada", "potter", SHARED, caller=ADA)
        center.concepts.share("ada", "potter", "bob", caller=ADA)
    center.concepts.unshare("ada", "potter", "bob", caller=ADA)

    with data.database.read() as transaction:
        entries = transaction.audit.entries(limit=100)
    changes = [
        (entry.event.action, entry.event.before, entry.event.after)
        for entry in entries
        if entry.event.resource == "concept/ada/potter" and entry.event.actor == "ada"
    ]
    assert changes == [
        ("concept.shown", {"visibility": "private"}, {"visibility": "shared"}),
        ("concept.shared", None, {"member": "bob"}),
        ("concept.unshared", None, {"member": "bob"}),
    ]


def test_many_are_found_by_name_as_far_as_the_caller_sees_them(
    center: Center, potter: Submission, submit: Callable[..., Submission]
) -> None:
    newest = submit(concept="ada/potter", words=("<potter>",))
    cat = submit(concept="bob/cat", words=("<cat>",))
    names = ("ada/potter", "ada/potter@1", "ada/potter@9", "bob/cat@1", "eve/nobody")
    refs = [parse_concept_ref(name) for name in names]

    everything = center.concepts.named(refs, caller=LOCAL)
    own = center.concepts.named(refs, caller=BOB)

    assert {str(ref): found.id for ref, found in everything.items()} == {
        "ada/potter": newest.id,
        "ada/potter@1": potter.id,
        "bob/cat@1": cat.id,
    }
    assert {str(ref): found.id for ref, found in own.items()} == {"bob/cat@1": cat.id}
    assert center.concepts.named([], caller=LOCAL) == {}
