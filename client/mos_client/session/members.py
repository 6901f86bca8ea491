"""Members and tokens of a center, and becoming a member."""

from __future__ import annotations

from collections.abc import Sequence

from mos_client.session.connection import Connection, quoted
from mos_client.session.member_results import (
    Invitation,
    Me,
    Member,
    NewToken,
    Token,
    Welcome,
)


class MemberCalls(Connection):
    """What a session can ask about members and tokens."""

    def me(self) -> Me:
        """Whose token this session has, and what it is good for."""
        return self._rest.get(Me, "/v1/me")

    def join(self, join_token: str, name: str | None = None) -> Welcome:
        """Become a member with a one-use join token; the session itself needs no token.

        An invitation may leave the name to you. Raises `Unauthenticated` for a token that lets
        nobody in (any more), and `Conflict` when the name is taken.
        """
        body = {"token": join_token, **({"name": name} if name else {})}
        # The join token is good for one answer itself: a key would only hide why there is no other.
        return self._rest.change("POST", Welcome, "/v1/join", body, key=None)

    def tokens(self, *, member: str | None = None) -> list[Token]:
        """Your API tokens, revoked ones too; everybody's for admins."""
        return list(self._rest.pages(Token, "/v1/tokens", {"member": member}))

    def create_token(
        self,
        name: str,
        *,
        scopes: Sequence[str] | None = None,
        days: float | None = None,
        member: str | None = None,
    ) -> NewToken:
        """Issue an API token, with all scopes that are possible when None; `member` for admins."""
        wanted = {
            "scopes": None if scopes is None else list(scopes),
            "expires_in_days": days,
            "member": member,
        }
        body = {"name": name, **{key: one for key, one in wanted.items() if one is not None}}
        return self._rest.change("POST", NewToken, "/v1/tokens", body)

    def revoke_token(self, token_id: str) -> None:
        """Have a token refused from now on."""
        self._rest.remove(f"/v1/tokens/{quoted(token_id)}")

    def members(self) -> list[Member]:
        """Every member; for admins."""
        return list(self._rest.pages(Member, "/v1/members"))

    def invite(
        self,
        name: str | None = None,
        *,
        role: str = "member",
        trusted: bool = False,
        hours: float | None = None,
    ) -> Invitation:
        """Make a join token for one newcomer; for admins."""
        body: dict[str, object] = {"role": role, "trusted": trusted}
        if name is not None:
            body["name"] = name
        if hours is not None:
            body["expires_in_hours"] = hours
        return self._rest.change("POST", Invitation, "/v1/invitations", body)
