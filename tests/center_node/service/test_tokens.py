"""Tokens: who they let in, what they are good for, and when they stop."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from callers import ADA, BOB, RITA, member
from mos_center.domain.access import LOCAL, Caller, Role, Scope, scopes_of
from mos_center.domain.members import SessionRecord, TokenRecord
from mos_center.opening import OpenedData
from mos_center.service.center import Center
from mos_center.service.members import MemberChange
from mos_center.service.tokens import TokenService
from mos_protocol.errors import (
    Conflict,
    InvalidName,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    Unauthenticated,
)
from sqlalchemy import text

ROOT = member("root", Role.ADMIN)


@pytest.fixture(autouse=True)
def members(center: Center) -> None:
    for name, role in (("ada", Role.MEMBER), ("bob", Role.MEMBER), ("rita", Role.CURATOR)):
        center.members.add(name, role, caller=LOCAL)
    center.members.add("root", Role.ADMIN, caller=LOCAL)


def create(center: Center, name: str = "ada", **options: object) -> tuple[str, TokenRecord]:
    return center.tokens.create(name, "laptop", caller=LOCAL, **options)


def test_a_token_authenticates_its_member_and_is_not_stored(
    center: Center, data: OpenedData
) -> None:
    token, record = create(center)

    caller = center.tokens.authenticate(token)

    assert caller == Caller("ada", Role.MEMBER, scopes_of(Role.MEMBER), record.id)
    with data.database.engine.connect() as connection:
        for table in ("api_tokens", "audit_log"):
            assert token not in str(connection.execute(text(f"SELECT * FROM {table}")).all())


def test_no_secret_and_no_hash_of_one_shows_in_a_repr(center: Center) -> None:
    token, record = create(center)
    secret, invitation = center.invitations.create(caller=LOCAL)
    session = SessionRecord("ab" * 32, record.id, record.created_at)

    shown = repr((record, invitation, session, center.invitations.join(secret, "eve")))

    for hidden in (token, secret, record.sha256, invitation.sha256, session.sha256, "mos_"):
        assert hidden not in shown


def test_a_loopback_center_is_open_until_the_first_token_and_never_again(center: Center) -> None:
    assert center.tokens.authenticate(None) == LOCAL
    _, record = create(center)
    center.tokens.revoke(record.id, caller=LOCAL)

    with pytest.raises(Unauthenticated, match="needs a token"):
        center.tokens.authenticate(None)


def test_a_center_that_others_reach_is_never_open(data: OpenedData) -> None:
    tokens = TokenService(data.database, open_without_tokens=False)

    with pytest.raises(Unauthenticated):
        tokens.authenticate(None)


def test_a_revoked_expired_or_unknown_token_is_refused(center: Center) -> None:
    token, record = create(center)
    old, _ = create(center, "bob", lifetime=timedelta(seconds=-1))
    center.tokens.revoke(record.id, caller=LOCAL)
    center.tokens.revoke(record.id, caller=LOCAL)

    with pytest.raises(Unauthenticated, match="revoked"):
        center.tokens.authenticate(token)
    with pytest.raises(Unauthenticated, match="expired"):
        center.tokens.authenticate(old)
    with pytest.raises(Unauthenticated, match="not one of"):
        center.tokens.authenticate("mos_guess")


def test_a_disabled_member_is_refused_at_once_and_stays_logged_out(center: Center) -> None:
    token, _ = create(center)
    cookie = center.tokens.log_in(token)

    center.members.change("ada", MemberChange(disabled=True), caller=LOCAL)

    with pytest.raises(Unauthenticated, match="disabled"):
        center.tokens.authenticate(token)
    with pytest.raises(Unauthenticated):
        center.tokens.session(cookie)
    with pytest.raises(Conflict, match="disabled"):
        center.tokens.create("ada", "new", caller=LOCAL)
    center.members.change("ada", MemberChange(disabled=False), caller=LOCAL)
    assert center.tokens.authenticate(token).name == "ada"
    with pytest.raises(Unauthenticated, match="not logged in"):
        center.tokens.session(cookie)


def test_a_members_role_limits_its_tokens_also_when_it_changes(center: Center) -> None:
    token, record = create(center, "rita")
    assert record.scopes == frozenset(Scope)

    center.members.change("rita", MemberChange(role=Role.MEMBER), caller=LOCAL)

    assert Scope.ADMIN not in center.tokens.authenticate(token).scopes


def test_a_token_has_no_scope_that_its_role_or_its_maker_has_not(center: Center) -> None:
    reader = Caller("ada", Role.MEMBER, frozenset({Scope.MODEL_READ}))

    with pytest.raises(InvalidRequest, match="admin"):
        create(center, scopes=[Scope.ADMIN])
    with pytest.raises(InvalidRequest, match="concept:write"):
        center.tokens.create("ada", "x", scopes=[Scope.CONCEPT_WRITE], caller=reader)
    _, record = center.tokens.create("ada", "x", caller=reader)
    assert record.scopes == {Scope.MODEL_READ}


def test_a_token_ends_with_the_one_that_made_it(center: Center) -> None:
    short, making = create(center, lifetime=timedelta(hours=1))
    caller = center.tokens.authenticate(short)

    _, longer = center.tokens.create("ada", "a", lifetime=timedelta(days=9), caller=caller)
    _, endless = center.tokens.create("ada", "b", caller=caller)
    _, shorter = center.tokens.create("ada", "c", lifetime=timedelta(minutes=1), caller=caller)

    assert longer.expires_at == endless.expires_at == making.expires_at
    assert shorter.expires_at < making.expires_at


def test_a_members_tokens_are_its_own_and_the_admins(center: Center) -> None:
    _, record = create(center)
    create(center, "bob")

    assert [item.member for item in center.tokens.all(caller=ADA)] == ["ada"]
    assert {item.member for item in center.tokens.all(caller=ROOT)} == {"ada", "bob"}
    for stranger in (BOB, RITA):
        with pytest.raises(NotFound):
            center.tokens.revoke(record.id, caller=stranger)
        with pytest.raises(PermissionDenied):
            center.tokens.all("ada", caller=stranger)
        with pytest.raises(PermissionDenied):
            center.tokens.create("ada", "stolen", caller=stranger)
    center.tokens.revoke(record.id, caller=ADA)


def test_an_admins_token_without_the_scope_is_as_good_as_a_members(center: Center) -> None:
    _, record = create(center)
    weak = Caller("root", Role.ADMIN, scopes_of(Role.MEMBER))

    assert center.tokens.all(caller=weak) == ()
    with pytest.raises(NotFound):
        center.tokens.revoke(record.id, caller=weak)
    with pytest.raises(PermissionDenied):
        center.tokens.create("ada", "stolen", caller=weak)


def test_the_last_use_is_shown(center: Center) -> None:
    token, record = create(center)
    assert record.last_used_at is None

    center.tokens.authenticate(token)

    (used,) = center.tokens.all("ada", caller=ADA)
    assert datetime.now(UTC) - used.last_used_at < timedelta(minutes=5)


def test_a_name_is_given_once_and_a_stranger_has_no_token(center: Center) -> None:
    create(center)

    with pytest.raises(Conflict, match="already has a token named 'laptop'"):
        create(center)
    with pytest.raises(InvalidName):
        center.tokens.create("ada", "My Laptop", caller=LOCAL)
    with pytest.raises(NotFound, match="no member 'eve'"):
        center.tokens.create("eve", "laptop", caller=LOCAL)
    with pytest.raises(NotFound):
        center.tokens.revoke("none", caller=LOCAL)


def test_issuing_and_revoking_are_written_down(center: Center) -> None:
    _, record = create(center)
    center.tokens.revoke(record.id, caller=ADA)

    events = [item.event for item in center.audit.entries(caller=LOCAL, limit=99)]
    told = [(event.actor, event.action, event.resource) for event in events[-2:]]
    assert told == [
        ("local", "token.created", "token/ada/laptop"),
        ("ada", "token.revoked", "token/ada/laptop"),
    ]


def test_a_browser_session_ends_by_logging_out_by_revoking_and_by_age(
    center: Center, data: OpenedData
) -> None:
    token, record = create(center)
    cookie, other = center.tokens.log_in(token), center.tokens.log_in(token)
    assert center.tokens.session(cookie).name == "ada"

    center.tokens.log_out(cookie)
    with pytest.raises(Unauthenticated):
        center.tokens.session(cookie)

    center.tokens.revoke(record.id, caller=LOCAL)
    with pytest.raises(Unauthenticated):
        center.tokens.session(other)

    _, fresh = create(center, "bob")
    with data.database.write() as transaction:
        old = hashlib.sha256(b"1234567890").hexdigest()
        session = SessionRecord(old, fresh.id, datetime(2020, 1, 1, tzinfo=UTC))
        transaction.tokens.open_session(session)
    with pytest.raises(Unauthenticated):
        center.tokens.session("1234567890")


def test_tokens_are_listed_newest_first_page_by_page(center: Center) -> None:
    for owner, name in (("ada", "one"), ("bob", "two"), ("ada", "three")):
        center.tokens.create(owner, name, caller=LOCAL)

    def names(owner: str | None, caller: Caller = LOCAL, **page: object) -> list[str]:
        found = center.tokens.find(owner, caller=caller, **{"limit": 10, **page})
        return [record.name for record in found]

    everyone = center.tokens.find(None, caller=LOCAL, limit=10)
    assert [record.id for record in everyone] == sorted((r.id for r in everyone), reverse=True)
    assert names(None, before=everyone[0].id, limit=1) == [everyone[1].name]
    assert sorted(names("ada", ADA)) == ["one", "three"]
    for caller, owner in ((ADA, "bob"), (ADA, None), (RITA, None)):
        with pytest.raises(PermissionDenied):
            names(owner, caller)


def test_a_token_can_be_made_for_what_both_its_member_and_its_maker_may(center: Center) -> None:
    weak = Caller("root", Role.ADMIN, frozenset({Scope.ADMIN, Scope.MODEL_READ}))

    assert center.tokens.possible_scopes("ada", caller=ROOT) == scopes_of(Role.MEMBER)
    assert center.tokens.possible_scopes("ada", caller=weak) == {Scope.MODEL_READ}
    assert center.tokens.possible_scopes("root", caller=ROOT) == frozenset(Scope)
    with pytest.raises(PermissionDenied):
        center.tokens.possible_scopes("ada", caller=BOB)
    with pytest.raises(NotFound):
        center.tokens.possible_scopes("nobody", caller=ROOT)


def test_revoking_says_whose_token_it_was(center: Center) -> None:
    _, record = create(center)

    assert center.tokens.revoke(record.id, caller=ADA) == record
    assert center.tokens.revoke(record.id, caller=ADA).revoked_at is not None
