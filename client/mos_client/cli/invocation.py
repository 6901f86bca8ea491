"""What every command knows of its call: which center, which token, JSON or tables."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer
from mos_protocol.errors import InvalidRequest

if TYPE_CHECKING:
    from mos_client.session import Session

CenterOption = Annotated[
    str | None,
    typer.Option("--center", metavar="URL", help="The center's address (env: MOS_CENTER)."),
]
TokenOption = Annotated[
    str | None,
    typer.Option("--token", metavar="TOKEN", help="The token for the center (env: MOS_TOKEN)."),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document instead of tables.")
]


@dataclass(frozen=True)
class Invocation:
    """The options that every command takes, before or after its name."""

    center: str | None = None
    token: str | None = None
    as_json: bool = False

    def session(self) -> Session:
        """Open a session; raises `InvalidRequest` when no center is named."""
        from mos_client.session import Session

        if not self.center:
            raise InvalidRequest(
                "No center is named.",
                hint="Give --center http://host:8000, or set MOS_CENTER.",
            )
        return Session(self.center, self.token)

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
