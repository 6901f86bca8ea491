"""Members: adding and changing them, and that an admin is always left."""

from __future__ import annotations

import pytest
from callers import ADA, RITA, member
from mos_center.domain.access import LOCAL, Caller, Role, scopes_of
from mos_center.domain.policy import Quota
from mos_center.service.center import Center
from mos_center.service.members import MemberChange
from mos_protocol.errors import Conflict, InvalidName, NotFound, PermissionDenied

ROOT = member("root", Role.ADMIN)


@pytest.fixture(autouse=True)
def root(center: Center) -> None:
    center.members.add("root", Role.ADMIN, caller=LOCAL)


def test_a_member_is_added_once_and_found(center: Center) -> None:
    added = center.members.add("ada", trusted=True, caller=ROOT)

    assert (added.role, added.trusted, added.disabled_at) == (Role.MEMBER, True, None)
    assert center.members.get("ada", caller=ADA) == added
    assert [item.name for item in center.members.all(caller=ROOT)] == ["ada", "root"]
    with pytest.raises(Conflict, match="already a member named 'ada'"):
        center.members.add("ada", caller=ROOT)


def test_members_are_searched_page_by_page(center: Center) -> None:
    for name, role in (("ada", Role.MEMBER), ("adam", Role.CURATOR), ("zoe", Role.CURATOR)):
        center.members.add(name, role, caller=ROOT)

    def names(*query: object, **page: object) -> list[str]:
        found = center.members.find(*query, caller=ROOT, **{"limit": 10, **page})
        return [member.name for member in found]

    assert names() == ["ada", "adam", "root", "zoe"]
    assert names(limit=2) == ["ada", "adam"]
    assert names(after="adam", limit=2) == ["root", "zoe"]
    assert names("DA") == ["ada", "adam"]
    assert names("a%") == []
    assert names(None, Role.CURATOR) == ["adam", "zoe"]
    assert names("a", Role.CURATOR, after="ada") == ["adam"]


def test_a_member_was_active_when_it_last_used_a_token(center: Center) -> None:
    for name in ("ada", "bob"):
        center.members.add(name, caller=ROOT)
        for token in ("one", "two"):
            center.tokens.create(name, token, caller=ROOT)
    secret, record = center.tokens.create("ada", "three", caller=ROOT)
    center.tokens.authenticate(secret)

    active = center.members.last_active(["ada", "bob", "root", "nobody"], caller=ROOT)

    used = {token.id: token.last_used_at for token in center.tokens.all("ada", caller=ROOT)}
    assert active == {"ada": used[record.id]}
    assert active["ada"] is not None


@pytest.mark.parametrize("name", ["Ada", "a/b", "", "local", "system"])
def test_a_name_must_be_a_slug_that_the_log_has_no_other_use_for(center: Center, name: str) -> None:
    with pytest.raises(InvalidName):
        center.members.add(name, caller=ROOT)


def test_only_admins_see_and_change_others(center: Center) -> None:
    center.members.add("ada", caller=ROOT)
    weak = Caller("root", Role.ADMIN, scopes_of(Role.MEMBER))

    for caller in (ADA, RITA, weak):
        with pytest.raises(PermissionDenied):
            center.members.all(caller=caller)
        with pytest.raises(PermissionDenied):
            center.members.find(caller=caller, limit=1)
        with pytest.raises(PermissionDenied):
            center.members.last_active(["ada"], caller=caller)
        with pytest.raises(PermissionDenied):
            center.members.add("eve", caller=caller)
        with pytest.raises(PermissionDenied):
            center.members.change("ada", MemberChange(role=Role.ADMIN), caller=caller)
    with pytest.raises(PermissionDenied):
        center.members.get("root", caller=ADA)


def test_what_a_change_leaves_out_stays(center: Center) -> None:
    center.members.add("ada", trusted=True, caller=ROOT)

    center.members.change("ada", MemberChange(quota={"jobs": 3, "concepts": 0}), caller=ROOT)
    center.members.change("ada", MemberChange(role=Role.CURATOR), caller=ROOT)
    ada = center.members.change("ada", MemberChange(quota={"concepts": None}), caller=ROOT)

    assert (ada.role, ada.trusted, ada.quota) == (Role.CURATOR, True, Quota(jobs=3))
    assert center.members.get("ada", caller=ROOT) == ada
    assert center.members.change("ada", MemberChange(), caller=ROOT) == ada
    with pytest.raises(NotFound, match="no member 'eve'"):
        center.members.change("eve", MemberChange(), caller=ROOT)


@pytest.mark.parametrize(
    "change", [MemberChange(role=Role.CURATOR), MemberChange(disabled=True)], ids=["role", "end"]
)
def test_the_last_admin_stays_one(center: Center, change: MemberChange) -> None:
    for caller in (ROOT, LOCAL):
        with pytest.raises(Conflict, match="last admin"):
            center.members.change("root", change, caller=caller)
    center.members.add("zoe", Role.ADMIN, caller=ROOT)
    center.members.change("root", change, caller=ROOT)
    with pytest.raises(Conflict, match="last admin"):
        center.members.change("zoe", change, caller=LOCAL)


def test_a_disabled_admin_does_not_count_as_one(center: Center) -> None:
    center.members.add("zoe", Role.ADMIN, caller=ROOT)
    center.members.change("zoe", MemberChange(disabled=True), caller=ROOT)
    center.members.change("zoe", MemberChange(role=Role.MEMBER), caller=ROOT)

    with pytest.raises(Conflict):
        center.members.change("root", MemberChange(disabled=True), caller=ROOT)


def test_a_change_is_written_down_with_before_and_after(center: Center) -> None:
    center.members.add("ada", caller=ROOT)
    center.members.change("ada", MemberChange(disabled=True), caller=ROOT)

    event = center.audit.entries(caller=LOCAL, limit=99)[-1].event
    assert (event.actor, event.action, event.resource) == ("root", "member.changed", "member/ada")
    assert (event.before["disabled"], event.after["disabled"]) == (False, True)
