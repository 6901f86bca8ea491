"""Who may call: API tokens, and the browser sessions opened with them."""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
from datetime import UTC, datetime, timedelta

from mos_protocol.errors import NotFound, Unauthenticated
from mos_protocol.names import check_slug

from mos_center.domain.models import SessionRecord, TokenRecord
from mos_center.domain.ports import Database

log = logging.getLogger(__name__)

PREFIX = "mos_"
LOCAL_CALLER = "local"
SESSION_LIFETIME = timedelta(days=7)


class TokenService:
    """Issues, checks and revokes tokens.

    `open_without_tokens` lets everyone in as long as no token was ever issued; only a center
    that listens on loopback alone may be opened like that.
    """

    def __init__(self, database: Database, *, open_without_tokens: bool) -> None:
        self._database = database
        self._open_without_tokens = open_without_tokens

    def create(self, name: str) -> str:
        """Issue a token and return it: it is never shown again."""
        check_slug(name, "token name")
        token = PREFIX + secrets.token_urlsafe(32)
        with self._database.write() as transaction:
            transaction.tokens.add(TokenRecord(name, _sha256(token), datetime.now(UTC)))
        log.info("token.created name=%s", name)
        return token

    def revoke(self, name: str) -> None:
        """Refuse the token from now on."""
        with self._database.write() as transaction:
            if transaction.tokens.get(name) is None:
                raise NotFound(f"There is no token {name!r}.", hint="List the tokens.")
            transaction.tokens.revoke(name, datetime.now(UTC))
        log.info("token.revoked name=%s", name)

    def all(self) -> tuple[TokenRecord, ...]:
        """Every token ever issued, by name."""
        with self._database.read() as transaction:
            return transaction.tokens.all()

    def is_open(self) -> bool:
        """Whether calls need no token now."""
        if not self._open_without_tokens:
            return False
        with self._database.read() as transaction:
            return not transaction.tokens.any()

    def authenticate(self, token: str | None) -> str:
        """Return the caller's name; raises `Unauthenticated`."""
        if token is None:
            if self.is_open():
                return LOCAL_CALLER
            raise Unauthenticated(
                "This center needs a token.",
                hint="Get one from its operator (`mos-center token create NAME`) and pass it "
                "with --token or MOS_TOKEN.",
            )
        sha256 = _sha256(token)
        with self._database.read() as transaction:
            record = transaction.tokens.by_sha256(sha256)
        if record is None or not hmac.compare_digest(record.sha256, sha256):
            raise Unauthenticated("This token is not one of this center's.", hint="Check it.")
        if record.revoked_at is not None:
            raise Unauthenticated("This token was revoked.", hint="Ask for a new one.")
        return record.name

    def log_in(self, token: str) -> str:
        """Open a browser session and return the value of its cookie."""
        name = self.authenticate(token)
        cookie = secrets.token_urlsafe(32)
        with self._database.write() as transaction:
            transaction.tokens.open_session(
                SessionRecord(_sha256(cookie), name, datetime.now(UTC) + SESSION_LIFETIME)
            )
        return cookie

    def session(self, cookie: str | None) -> str:
        """Return whose session it is; raises `Unauthenticated`."""
        if self.is_open():
            return LOCAL_CALLER
        if cookie is not None:
            with self._database.read() as transaction:
                session = transaction.tokens.session(_sha256(cookie))
            if session is not None and session.expires_at > datetime.now(UTC):
                return session.token
        raise Unauthenticated("You are not logged in.", hint="Log in with a token.")

    def log_out(self, cookie: str) -> None:
        """Close the session."""
        with self._database.write() as transaction:
            transaction.tokens.close_session(_sha256(cookie))


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
