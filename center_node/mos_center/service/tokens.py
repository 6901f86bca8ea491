"""Who calls: API tokens, and the browser sessions opened with them."""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from mos_protocol.errors import Conflict, InvalidRequest, NotFound, Unauthenticated
from mos_protocol.names import check_slug

from mos_center.domain.access import LOCAL, Caller, Role, Scope, scopes_of
from mos_center.domain.events import AuditEvent
from mos_center.domain.ids import new_id
from mos_center.domain.members import Member, SessionRecord, TokenRecord
from mos_center.domain.ports import Database, Transaction
from mos_center.service.members import find_member

log = logging.getLogger(__name__)

PREFIX = "mos_"
SESSION_LIFETIME = timedelta(days=7)
LONGEST_LIFETIME = timedelta(days=3650)
USE_IS_NOTED_EVERY = timedelta(minutes=1)


class TokenService:
    """Issues, checks and revokes tokens.

    `open_without_tokens` lets everyone in as long as no token was ever issued; only a center
    that listens on loopback alone may be opened like that.
    """

    def __init__(self, database: Database, *, open_without_tokens: bool) -> None:
        self._database = database
        # Once there is a token it stays so: no token is ever deleted.
        self._may_be_open = open_without_tokens

    def create(
        self,
        member: str,
        name: str,
        *,
        scopes: Iterable[Scope] | None = None,
        lifetime: timedelta | None = None,
        caller: Caller,
    ) -> tuple[str, TokenRecord]:
        """Issue a token of a member and return it: it is never shown again.

        `scopes`: all that the member's role and the caller have when None. It ends with the token
        that the call came with, if not before. Raises `NotFound`, `Conflict`, `PermissionDenied`,
        and `InvalidRequest` for scopes beyond those.
        """
        _check_own(caller, member)
        with self._database.write() as transaction:
            found = find_member(transaction, member)
            end = _end(transaction, lifetime, caller)
            return issue(transaction, found, name, scopes, end, caller)

    def revoke(self, token_id: str, *, caller: Caller) -> TokenRecord:
        """Refuse the token from now on, and return it as it was; raises `NotFound`."""
        with self._database.write() as transaction:
            token = transaction.tokens.get(token_id)
            if token is None or not _may_manage(caller, token.member):
                raise NotFound(f"There is no token {token_id!r}.", hint="List the tokens.")
            if token.revoked_at is not None:
                return token
            transaction.tokens.revoke(token_id, datetime.now(UTC))
            transaction.audit.record(
                AuditEvent(caller.name, "token.revoked", f"token/{token.member}/{token.name}")
            )
        return token

    def find(
        self,
        member: str | None,
        *,
        caller: Caller,
        before: str | None = None,
        limit: int,
    ) -> tuple[TokenRecord, ...]:
        """A member's tokens, or everyone's when None, newest first, only ids below `before`."""
        if member is None:
            caller.require(Scope.ADMIN, Role.ADMIN)
        else:
            _check_own(caller, member)
        with self._database.read() as transaction:
            return transaction.tokens.newest(member, before=before, limit=limit)

    def possible_scopes(self, member: str, *, caller: Caller) -> frozenset[Scope]:
        """What a token can be good for that the caller issues to the member; raises `NotFound`."""
        _check_own(caller, member)
        with self._database.read() as transaction:
            return scopes_of(find_member(transaction, member).role) & caller.scopes

    def all(self, member: str | None = None, *, caller: Caller) -> tuple[TokenRecord, ...]:
        """Every token ever issued to a member; to all members when None and an admin asks."""
        wanted = member or (None if _administers(caller) else caller.name)
        if wanted is not None:
            _check_own(caller, wanted)
        with self._database.read() as transaction:
            return transaction.tokens.find(wanted)

    def end(self, caller: Caller) -> datetime | None:
        """When the token that the call came with expires; None: never."""
        if caller.token_id is None:
            return None
        with self._database.read() as transaction:
            token = transaction.tokens.get(caller.token_id)
        return token.expires_at if token else None

    def is_open(self) -> bool:
        """Whether calls need no token now."""
        if not self._may_be_open:
            return False
        with self._database.read() as transaction:
            if not transaction.tokens.any():
                return True
        self._may_be_open = False
        return False

    def authenticate(self, token: str | None) -> Caller:
        """Return who calls; raises `Unauthenticated`."""
        if token is None:
            if self.is_open():
                return LOCAL
            raise Unauthenticated(
                "This center needs a token.",
                hint="Join with the invitation that its operator gives you "
                "(`mos-client join URL TOKEN`), or pass a token with --token or MOS_TOKEN.",
            )
        with self._database.read() as transaction:
            record = transaction.tokens.by_sha256(sha256_of_secret(token))
            caller = _caller(transaction, record)
        self._note_use(record)
        return caller

    def log_in(self, token: str) -> str:
        """Open a browser session and return the value of its cookie."""
        caller = self.authenticate(token)
        cookie = secrets.token_urlsafe(32)
        with self._database.write() as transaction:
            transaction.tokens.open_session(
                SessionRecord(
                    sha256_of_secret(cookie),
                    caller.token_id or "",
                    datetime.now(UTC) + SESSION_LIFETIME,
                )
            )
        return cookie

    def session(self, cookie: str | None) -> Caller:
        """Return whose session it is; raises `Unauthenticated`."""
        if self.is_open():
            return LOCAL
        if cookie is not None:
            with self._database.read() as transaction:
                session = transaction.tokens.session(sha256_of_secret(cookie))
                if session is not None and session.expires_at > datetime.now(UTC):
                    return _caller(transaction, transaction.tokens.get(session.token_id))
        raise Unauthenticated("You are not logged in.", hint="Log in with a token.")

    def log_out(self, cookie: str) -> None:
        """Close the session."""
        with self._database.write() as transaction:
            transaction.tokens.close_session(sha256_of_secret(cookie))

    def _note_use(self, token: TokenRecord | None) -> None:
        """Write down the use, at most once a minute: calls must not all become writers."""
        now = datetime.now(UTC)
        if token is None or (token.last_used_at and now - token.last_used_at < USE_IS_NOTED_EVERY):
            return
        with self._database.note() as transaction:
            transaction.tokens.used(token.id, now)


def issue(
    transaction: Transaction,
    member: Member,
    name: str,
    scopes: Iterable[Scope] | None,
    end: datetime | None,
    caller: Caller,
) -> tuple[str, TokenRecord]:
    """Add a new token of `member` that is good until `end`.

    Raises `InvalidRequest` when it can't have these scopes, `Conflict` for a disabled member.
    """
    check_slug(name, "token name")
    if member.disabled_at is not None:
        raise Conflict(f"The member {member.name} is disabled.", hint="Enable it first.")
    wanted = scopes_of(member.role) if scopes is None else frozenset(scopes)
    allowed = scopes_of(member.role) & caller.scopes
    if scopes is not None and not wanted <= allowed:
        beyond = ", ".join(sorted(wanted - allowed))
        raise InvalidRequest(
            f"A token of {member.name} can't have the scope {beyond} from here.",
            hint=f"Possible: {', '.join(sorted(allowed))}.",
        )
    secret = PREFIX + secrets.token_urlsafe(32)
    record = TokenRecord(
        id=new_id(),
        member=member.name,
        name=name,
        sha256=sha256_of_secret(secret),
        scopes=wanted & allowed,
        created_at=datetime.now(UTC),
        expires_at=end,
    )
    transaction.tokens.add(record)
    transaction.audit.record(
        AuditEvent(
            caller.name,
            "token.created",
            f"token/{member.name}/{name}",
            after={"scopes": sorted(record.scopes), "expires_at": str(record.expires_at or "")},
        )
    )
    return secret, record


def sha256_of_secret(secret: str) -> str:
    """What is kept of a token, a join token or a cookie: they are too long to be guessed."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _administers(caller: Caller) -> bool:
    return caller.is_admin and Scope.ADMIN in caller.scopes


def _may_manage(caller: Caller, member: str) -> bool:
    return caller.name == member or _administers(caller)


def _check_own(caller: Caller, member: str) -> None:
    if caller.name != member:
        caller.require(Scope.ADMIN, Role.ADMIN)


def _end(transaction: Transaction, lifetime: timedelta | None, caller: Caller) -> datetime | None:
    """When a new token ends: after `lifetime`, and not after the token that makes it."""
    wanted = None if lifetime is None else datetime.now(UTC) + lifetime
    making = transaction.tokens.get(caller.token_id) if caller.token_id else None
    ends = (wanted, making.expires_at if making else None)
    return min((end for end in ends if end is not None), default=None)


def _caller(transaction: Transaction, token: TokenRecord | None) -> Caller:
    """Who has this token; raises `Unauthenticated` when it lets nobody in."""
    if token is None:
        raise Unauthenticated("This token is not one of this center's.", hint="Check it.")
    if token.revoked_at is not None:
        raise Unauthenticated("This token was revoked.", hint="Ask for a new one.")
    if not token.is_usable(datetime.now(UTC)):
        raise Unauthenticated(
            f"This token expired on {token.expires_at:%Y-%m-%d}.", hint="Ask for a new one."
        )
    member = find_member(transaction, token.member)
    if member.disabled_at is not None:
        raise Unauthenticated(f"The member {member.name} is disabled.", hint="Ask an admin.")
    return Caller.of(member.name, member.role, token.scopes, token.id)
