"""Invitations: each lets one newcomer in, once, whoever comes at the same time."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from callers import ADA, RITA, member
from mos_center.domain.access import LOCAL, Role, scopes_of
from mos_center.opening import OpenedData
from mos_center.service.center import Center
from mos_center.service.invitations import Joined
from mos_protocol.errors import (
    Conflict,
    InvalidName,
    InvalidRequest,
    MosError,
    NotFound,
    PermissionDenied,
    Unauthenticated,
)
from sqlalchemy import text

ROOT = member("root", Role.ADMIN)


def test_a_newcomer_becomes_what_the_invitation_says(center: Center) -> None:
    secret, invitation = center.invitations.create("ada", Role.CURATOR, trusted=True, caller=ROOT)
    assert center.invitations.all(caller=ROOT) == (invitation,)

    joined = center.invitations.join(secret)

    assert (joined.member.name, joined.member.role) == ("ada", Role.CURATOR)
    assert joined.member.trusted
    caller = center.tokens.authenticate(joined.secret)
    assert (caller.name, caller.scopes) == ("ada", scopes_of(Role.CURATOR))
    assert center.invitations.all(caller=ROOT) == ()


def test_the_name_is_the_newcomers_choice_where_the_invitation_says_none(center: Center) -> None:
    secret, _ = center.invitations.create(caller=ROOT)

    with pytest.raises(InvalidRequest, match="leaves the name to you"):
        center.invitations.join(secret)
    with pytest.raises(InvalidName):
        center.invitations.join(secret, "system")
    assert center.invitations.join(secret, "eve").member.name == "eve"


def test_an_invitation_for_somebody_is_for_nobody_else(center: Center) -> None:
    secret, _ = center.invitations.create("ada", caller=ROOT)

    with pytest.raises(InvalidRequest, match="for 'ada', not for 'eve'"):
        center.invitations.join(secret, "eve")
    assert center.invitations.join(secret, "ada").member.name == "ada"


def test_a_taken_name_leaves_the_invitation_as_good_as_it_was(center: Center) -> None:
    center.members.add("ada", caller=LOCAL)
    secret, _ = center.invitations.create(caller=ROOT)

    with pytest.raises(Conflict, match="already a member named 'ada'"):
        center.invitations.join(secret, "ada")
    assert center.invitations.join(secret, "ben").member.name == "ben"
    with pytest.raises(Conflict, match="already a member"):
        center.invitations.create("ada", caller=ROOT)


def test_a_used_expired_revoked_or_unknown_token_lets_nobody_in(center: Center) -> None:
    used, _ = center.invitations.create("ada", caller=ROOT)
    center.invitations.join(used)
    expired, _ = center.invitations.create("b", lifetime=timedelta(seconds=-1), caller=ROOT)
    revoked, record = center.invitations.create("c", caller=ROOT)
    center.invitations.revoke(record.id, caller=ROOT)

    for secret, told in (
        (used, "joined with this token already"),
        (expired, "expired"),
        (revoked, "not one of"),
        ("mos_join_guess", "not one of"),
    ):
        with pytest.raises(Unauthenticated, match=told):
            center.invitations.join(secret)
    assert [item.name for item in center.members.all(caller=LOCAL)] == ["ada"]


def test_a_join_token_is_no_api_token_and_not_stored(center: Center, data: OpenedData) -> None:
    secret, _ = center.invitations.create("ada", caller=ROOT)

    with pytest.raises(Unauthenticated):
        center.tokens.authenticate(secret)
    with data.database.engine.connect() as connection:
        for table in ("invitations", "audit_log"):
            assert secret not in str(connection.execute(text(f"SELECT * FROM {table}")).all())


def test_of_newcomers_who_come_at_once_exactly_one_joins(center: Center) -> None:
    secret, _ = center.invitations.create(caller=ROOT)
    start = threading.Barrier(8)
    outcomes: list[Joined | MosError] = []

    def come(number: int) -> None:
        start.wait()
        try:
            outcomes.append(center.invitations.join(secret, f"newcomer-{number}"))
        except MosError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=come, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    (joined,) = [item for item in outcomes if isinstance(item, Joined)]
    refused = [item for item in outcomes if isinstance(item, MosError)]
    assert {type(error) for error in refused} == {Unauthenticated}
    assert len(refused) == 7
    assert [item.name for item in center.members.all(caller=LOCAL)] == [joined.member.name]
    assert len(center.tokens.all(caller=LOCAL)) == 1


def test_only_admins_invite_and_take_invitations_back(center: Center) -> None:
    secret, invitation = center.invitations.create("ben", caller=ROOT)

    for caller in (ADA, RITA):
        with pytest.raises(PermissionDenied):
            center.invitations.create(caller=caller)
        with pytest.raises(PermissionDenied):
            center.invitations.all(caller=caller)
        with pytest.raises(PermissionDenied):
            center.invitations.revoke(invitation.id, caller=caller)
    with pytest.raises(NotFound):
        center.invitations.revoke("none", caller=ROOT)
    center.invitations.join(secret)
    with pytest.raises(Conflict, match="ben joined with it"):
        center.invitations.revoke(invitation.id, caller=ROOT)


def test_inviting_and_joining_are_written_down(center: Center) -> None:
    secret, _ = center.invitations.create("ben", caller=ROOT)
    center.invitations.join(secret)

    events = [item.event for item in center.audit.entries(caller=LOCAL, limit=99)]
    assert [(event.actor, event.action) for event in events] == [
        ("root", "invitation.created"),
        ("ben", "member.added"),
        ("ben", "token.created"),
        ("ben", "invitation.used"),
    ]
