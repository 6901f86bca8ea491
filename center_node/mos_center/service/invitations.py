"""Invitations: one-use join tokens, and joining with one."""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from mos_protocol.errors import Conflict, InvalidRequest, NotFound, Unauthenticated
from mos_protocol.names import check_slug

from mos_center.domain.access import Caller, Role, Scope
from mos_center.domain.events import AuditEvent
from mos_center.domain.ids import new_id
from mos_center.domain.members import Invitation, Member, TokenRecord
from mos_center.domain.ports import Database, Transaction
from mos_center.service.members import add_member
from mos_center.service.tokens import issue, sha256_of_secret

log = logging.getLogger(__name__)

# Begins as API tokens do, so that logs mask it too.
PREFIX = "mos_join_"
DEFAULT_LIFETIME = timedelta(hours=72)
LONGEST_LIFETIME = timedelta(days=90)
FIRST_TOKEN = "joined"


@dataclass(frozen=True)
class Joined:
    """A newcomer, and its first API token, which is never shown again."""

    member: Member
    secret: str = field(repr=False)
    token: TokenRecord


class InvitationService:
    """Invites newcomers, and lets each in once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self,
        name: str | None = None,
        role: Role = Role.MEMBER,
        *,
        trusted: bool = False,
        lifetime: timedelta = DEFAULT_LIFETIME,
        caller: Caller,
    ) -> tuple[str, Invitation]:
        """Return a join token and its record; it is never shown again.

        `name` is what the newcomer will be called, None its own choice. Raises `Conflict` when a
        member has that name.
        """
        caller.require(Scope.ADMIN, Role.ADMIN)
        now = datetime.now(UTC)
        secret = PREFIX + secrets.token_urlsafe(32)
        invitation = Invitation(
            id=new_id(),
            sha256=sha256_of_secret(secret),
            role=role,
            invited_by=caller.name,
            created_at=now,
            expires_at=now + lifetime,
            name=name and check_slug(name, "member name"),
            trusted=trusted,
        )
        with self._database.write() as transaction:
            if name is not None and transaction.members.get(name) is not None:
                raise Conflict(
                    f"There is already a member named {name!r}.",
                    hint="Issue a token for it instead: `mos-center token create NAME`.",
                )
            transaction.invitations.add(invitation)
            _record(transaction, invitation, "invitation.created", caller.name)
        return secret, invitation

    def all(self, *, caller: Caller) -> tuple[Invitation, ...]:
        """The invitations that nobody joined with yet, newest first."""
        caller.require(Scope.ADMIN, Role.ADMIN)
        with self._database.read() as transaction:
            return transaction.invitations.open()

    def revoke(self, invitation_id: str, *, caller: Caller) -> None:
        """Take an invitation back; raises `NotFound`, and `Conflict` once it was used."""
        caller.require(Scope.ADMIN, Role.ADMIN)
        with self._database.write() as transaction:
            invitation = transaction.invitations.get(invitation_id)
            if invitation is None:
                raise NotFound(
                    f"There is no invitation {invitation_id!r}.", hint="List the invitations."
                )
            if invitation.used_at is not None:
                raise Conflict(
                    f"{invitation.used_by} joined with it.", hint="Disable the member instead."
                )
            transaction.invitations.remove(invitation_id)
            _record(transaction, invitation, "invitation.revoked", caller.name)

    def join(self, secret: str, name: str | None = None) -> Joined:
        """Make a newcomer with this join token a member, and issue its first API token.

        An invitation that says a name gives that one, else the newcomer's wish counts. Raises
        `Unauthenticated` for a token that lets nobody in; `Conflict` when the name is taken, and
        `InvalidRequest` when there is none, which leave the invitation as it was.
        """
        digest = sha256_of_secret(secret)
        # Strangers who guess must not make the writers wait.
        with self._database.read() as transaction:
            _check_usable(transaction.invitations.by_sha256(digest))
        with self._database.write() as transaction:
            invitation = _check_usable(transaction.invitations.by_sha256(digest))
            chosen = _chosen_name(invitation, name)
            member = add_member(
                transaction, chosen, invitation.role, trusted=invitation.trusted, actor=chosen
            )
            if not transaction.invitations.use(invitation.id, chosen, datetime.now(UTC)):
                raise _used()
            joined = Caller.of(chosen, member.role, frozenset(Scope), None)
            token, record = issue(transaction, member, FIRST_TOKEN, None, None, joined)
            _record(transaction, invitation, "invitation.used", chosen)
        log.info("member.joined name=%s invitation=%s", chosen, invitation.id)
        return Joined(member, token, record)


def _check_usable(invitation: Invitation | None) -> Invitation:
    if invitation is None:
        raise Unauthenticated(
            "This join token is not one of this center's, or was taken back.",
            hint="Check it, or ask for a new invitation.",
        )
    if invitation.used_at is not None:
        raise _used()
    if not invitation.is_usable(datetime.now(UTC)):
        raise Unauthenticated(
            f"This join token expired on {invitation.expires_at:%Y-%m-%d %H:%M} UTC.",
            hint="Ask for a new invitation.",
        )
    return invitation


def _used() -> Unauthenticated:
    return Unauthenticated(
        "Somebody joined with this token already, and it is good for one.",
        hint="If that was you and the answer got lost, ask an admin for a token "
        "(`mos-center token create NAME`) and join with that: `mos-client join URL TOKEN`.",
    )


def _chosen_name(invitation: Invitation, wish: str | None) -> str:
    if invitation.name is not None:
        if wish not in (None, invitation.name):
            raise InvalidRequest(
                f"This invitation is for {invitation.name!r}, not for {wish!r}.",
                hint="Join without a name, or ask for another invitation.",
            )
        return invitation.name
    if wish is None:
        raise InvalidRequest(
            "The invitation leaves the name to you, and none came.",
            hint="Say what you want to be called: `mos-client join URL TOKEN --name NAME`.",
        )
    return wish


def _record(transaction: Transaction, invitation: Invitation, action: str, actor: str) -> None:
    after = {"role": invitation.role.value, "trusted": invitation.trusted, "name": invitation.name}
    event = AuditEvent(actor, action, f"invitation/{invitation.id}", after=after)
    transaction.audit.record(event)
