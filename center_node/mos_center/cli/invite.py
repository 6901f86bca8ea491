"""`mos-center invite`."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from mos_center.cli.options import Data, opened_data
from mos_center.cli.token import moment
from mos_center.domain.access import LOCAL, Role
from mos_center.service.invitations import DEFAULT_LIFETIME, LONGEST_LIFETIME

HOUR = timedelta(hours=1)
ANYWHERE = "URL"


def invite(
    name: Annotated[
        str | None, typer.Argument(help="What the newcomer will be called  [default: its choice]")
    ] = None,
    role: Annotated[Role, typer.Option(help="What the newcomer may do")] = Role.MEMBER,
    trusted: Annotated[
        bool, typer.Option("--trusted", help="Its packages need no review where trust counts")
    ] = False,
    hours: Annotated[
        float, typer.Option(min=0.01, max=LONGEST_LIFETIME / HOUR, help="Hours until it expires")
    ] = DEFAULT_LIFETIME / HOUR,
    url: Annotated[
        str | None,
        typer.Option(help="The center's address for members  [default: where it serves now]"),
    ] = None,
    data: Data = None,
) -> None:
    """Print a join token for one newcomer, and the command to join with. It is shown this once."""
    with opened_data(data) as found:
        token, invitation = found.center().invitations.create(
            name, role, trusted=trusted, lifetime=hours * HOUR, caller=LOCAL
        )
        address = url or _serving(found.settings.data) or ANYWHERE
    wish = "" if name else " --name NAME"
    # Plain, so that it can be copied.
    typer.echo(token)
    typer.echo(f"mos-client join {address} {token}{wish}")
    ends = moment(invitation.expires_at)
    typer.echo(f"Good for one {role.value} until {ends} UTC.", err=True)


def _serving(data: Path) -> str | None:
    """Where a center serves this data, as its own machine reaches it."""
    try:
        told = json.loads((data / "serving.json").read_text())
    except (OSError, ValueError):
        return None
    return str(told["rest"])
