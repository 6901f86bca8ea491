"""What a caller may: what the member's role and the token's scopes both allow."""

from __future__ import annotations

import pytest
from mos_center.domain.access import Caller, Role, Scope, scopes_of
from mos_protocol.errors import PermissionDenied


def caller(role: Role, *scopes: Scope) -> Caller:
    return Caller.of("rita", role, scopes or scopes_of(role), "token")


def test_each_role_can_do_all_that_the_one_before_can() -> None:
    assert Role.ADMIN.covers(Role.CURATOR)
    assert Role.CURATOR.covers(Role.MEMBER)
    assert not Role.MEMBER.covers(Role.CURATOR)


def test_a_members_token_is_never_good_for_administration() -> None:
    greedy = Caller.of("ada", Role.MEMBER, list(Scope), "token")

    assert Scope.ADMIN not in greedy.scopes
    with pytest.raises(PermissionDenied, match="role curator"):
        greedy.require(Scope.ADMIN, Role.CURATOR)


@pytest.mark.parametrize("role", [Role.CURATOR, Role.ADMIN])
def test_without_the_scope_admin_a_token_has_no_powers_over_others(role: Role) -> None:
    narrow, full = caller(role, Scope.MODEL_READ), caller(role)

    assert (full.viewer, narrow.viewer) == (None, "rita")
    assert not narrow.owns("ada")
    with pytest.raises(PermissionDenied, match="scope admin"):
        narrow.require(Scope.ADMIN, Role.CURATOR)


def test_only_admins_act_in_the_name_of_others() -> None:
    assert caller(Role.ADMIN).owns("ada")
    assert not caller(Role.CURATOR).owns("ada")
    assert caller(Role.MEMBER).owns("rita")
