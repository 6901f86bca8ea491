"""What every command knows of its call: which center, which token, JSON or tables."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from mos_protocol.errors import InvalidRequest

if TYPE_CHECKING:
    from mos_client.credentials import Credentials, SavedCenter
    from mos_client.session import Backoff, Session

CenterOption = Annotated[
    str | None,
    typer.Option(
        "--center", metavar="URL", help="The center's address (env: MOS_CENTER; the one joined)."
    ),
]
TokenOption = Annotated[
    str | None,
    typer.Option(
        "--token",
        metavar="TOKEN",
        show_default=False,
        help="The token for the center (env: MOS_TOKEN; the one saved when joining).",
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document instead of tables.")
]


@dataclass(frozen=True)
class Certificates:
    """Files for https centers: a private CA, the client's own certificate and key."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


@dataclass(frozen=True)
class Invocation:
    """The options that every command takes, before or after its name.

    A center or token that is not given is the one that was saved when the user joined.
    """

    center: str | None = None
    token: str | None = field(default=None, repr=False)
    as_json: bool = False
    certificates: Certificates = Certificates()
    config: Path | None = None

    @property
    def has_center(self) -> bool:
        """Whether a center is named, or one was joined."""
        return bool(self.center) or self.saved is not None

    @cached_property
    def credentials(self) -> Credentials:
        """The centers that the user joined."""
        from platformdirs import user_config_path

        from mos_client.credentials import Credentials

        return Credentials(self.config or user_config_path("mos-client"))

    @cached_property
    def saved(self) -> SavedCenter | None:
        """What was saved for the center that is meant."""
        if not self.center:
            return self.credentials.default()
        from mos_client.session.rest import center_url

        return self.credentials.find(center_url(self.center))

    def session(self, backoff: Backoff | None = None) -> Session:
        """Open a session; raises `InvalidRequest` when no center is named."""
        from mos_client.session import Session

        saved = self.saved
        center = self.center or (saved.url if saved else None)
        if not center:
            raise InvalidRequest(
                "No center is named.",
                hint="Join one (`mos-client join URL TOKEN`), give --center http://host:8000, "
                "or set MOS_CENTER.",
            )
        token = self.token or (saved.token if saved else None)
        tls = self._tls(saved)
        return Session(center, token, tls=tls, backoff=backoff)

    def _tls(self, saved: SavedCenter | None) -> Any:
        """What is given goes before what was saved with the center."""
        from mos_client.session import Tls

        given = self.certificates
        tls = Tls.of(given.ca, given.cert, given.key)
        if saved is None:
            return tls
        cert = {"cert": saved.client_cert, "key": saved.client_key}
        return replace(tls, ca=tls.ca or saved.ca, **(cert if given.cert is None else {}))

    def print(self, document: object, text: str) -> None:
        """Write the result to stdout: `document` as JSON when asked for, else `text`."""
        typer.echo(json.dumps(document, indent=1) if self.as_json else text)


def invocation(
    context: typer.Context, center: str | None, token: str | None, as_json: bool
) -> Invocation:
    """The call's options: those after the command's name go before those in front of it."""
    given = context.obj if isinstance(context.obj, Invocation) else Invocation()
    changes: dict[str, Any] = {}
    if center is not None:
        changes["center"] = center
    if token is not None:
        changes["token"] = token
    if as_json:
        changes["as_json"] = True
    return replace(given, **changes)
