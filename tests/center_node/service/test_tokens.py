from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest
from mos_center.domain.models import SessionRecord
from mos_center.opening import OpenedData
from mos_center.service.center import Center
from mos_center.service.tokens import TokenService
from mos_protocol.errors import Conflict, InvalidName, NotFound, Unauthenticated
from sqlalchemy import text


def test_a_token_authenticates_its_owner_and_is_not_stored(
    center: Center, data: OpenedData
) -> None:
    token = center.tokens.create("ada")

    assert center.tokens.authenticate(token) == "ada"
    with data.database.engine.connect() as connection:
        assert token not in str(connection.execute(text("SELECT * FROM tokens")).all())


def test_a_loopback_center_is_open_until_the_first_token_and_never_again(center: Center) -> None:
    assert center.tokens.authenticate(None) == "local"
    center.tokens.create("ada")
    center.tokens.revoke("ada")

    with pytest.raises(Unauthenticated, match="needs a token"):
        center.tokens.authenticate(None)


def test_a_center_that_others_reach_is_never_open(data: OpenedData) -> None:
    tokens = TokenService(data.database, open_without_tokens=False)

    with pytest.raises(Unauthenticated):
        tokens.authenticate(None)


def test_a_revoked_or_unknown_token_is_refused(center: Center) -> None:
    token = center.tokens.create("ada")
    center.tokens.revoke("ada")

    with pytest.raises(Unauthenticated, match="revoked"):
        center.tokens.authenticate(token)
    with pytest.raises(Unauthenticated, match="not one of"):
        center.tokens.authenticate("mos_guess")


def test_a_name_is_given_once_and_revoking_a_stranger_says_so(center: Center) -> None:
    center.tokens.create("ada")

    with pytest.raises(Conflict, match="already a token named 'ada'"):
        center.tokens.create("ada")
    with pytest.raises(InvalidName):
        center.tokens.create("Ada Lovelace")
    with pytest.raises(NotFound):
        center.tokens.revoke("bob")


def test_a_browser_session_ends_by_logging_out_by_revoking_and_by_age(
    center: Center, data: OpenedData
) -> None:
    token = center.tokens.create("ada")
    cookie, other = center.tokens.log_in(token), center.tokens.log_in(token)
    assert center.tokens.session(cookie) == "ada"

    center.tokens.log_out(cookie)
    with pytest.raises(Unauthenticated):
        center.tokens.session(cookie)

    center.tokens.revoke("ada")
    with pytest.raises(Unauthenticated):
        center.tokens.session(other)

    center.tokens.create("bob")
    with data.database.write() as transaction:
        old = hashlib.sha256(b"1234567890").hexdigest()
        transaction.tokens.open_session(SessionRecord(old, "bob", datetime(2020, 1, 1, tzinfo=UTC)))
    with pytest.raises(Unauthenticated):
        center.tokens.session("1234567890")
