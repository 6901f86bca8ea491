"""`mos-center member`."""

from __future__ import annotations

from typing import Annotated

import typer
from mos_protocol.errors import InvalidRequest
from rich.table import Table

from mos_center.cli.edge import console
from mos_center.cli.options import Data, opened_data
from mos_center.cli.token import moment
from mos_center.domain.access import LOCAL, Role
from mos_center.domain.members import Member
from mos_center.service.members import MemberChange

app = typer.Typer(name="member", help="Who takes part.", no_args_is_help=True)

OWN = "center"
QUOTAS = {"total_bytes": "bytes", "concepts": "concepts", "jobs": "jobs"}
Quota = Annotated[
    str | None,
    typer.Option(metavar="N|center", help="The most it may have; `center`: as the center says"),
]


@app.command()
def add(
    name: str,
    role: Annotated[Role, typer.Option(help="What it may do")] = Role.MEMBER,
    trusted: Annotated[
        bool, typer.Option("--trusted", help="Its packages need no review where trust counts")
    ] = False,
    data: Data = None,
) -> None:
    """Add a member; `mos-center token create` lets it in, or use `mos-center invite` instead."""
    with opened_data(data) as found:
        found.center().members.add(name, role, trusted=trusted, caller=LOCAL)
    console.print(f"{name} is a {role.value}. Next: mos-center token create {name}")


@app.command("list")
def list_members(data: Data = None) -> None:
    """List the members by name."""
    with opened_data(data) as found:
        members = found.center().members.all(caller=LOCAL)
    table = Table("name", "role", "trusted", "since", "disabled", "own limits")
    for member in members:
        table.add_row(
            member.name,
            member.role.value,
            "yes" if member.trusted else "",
            moment(member.created_at),
            moment(member.disabled_at),
            _limits(member),
        )
    console.print(table)


@app.command("set")
def change(
    name: str,
    role: Annotated[Role | None, typer.Option(help="What it may do")] = None,
    trusted: Annotated[
        bool | None,
        typer.Option("--trusted/--untrusted", help="Whether its packages need no review"),
    ] = None,
    disabled: Annotated[
        bool | None,
        typer.Option("--disable/--enable", help="Whether its tokens are refused"),
    ] = None,
    quota_bytes: Quota = None,
    quota_concepts: Quota = None,
    quota_jobs: Quota = None,
    data: Data = None,
) -> None:
    """Change a member; one enabled admin is always left."""
    given = {"total_bytes": quota_bytes, "concepts": quota_concepts, "jobs": quota_jobs}
    quota = {key: _amount(text) for key, text in given.items() if text is not None}
    wanted = MemberChange(role, trusted, disabled, quota)
    with opened_data(data) as found:
        member = found.center().members.change(name, wanted, caller=LOCAL)
    state = "disabled" if member.disabled_at else "enabled"
    trust = "trusted" if member.trusted else "not trusted"
    limits = _limits(member) or "the center's"
    console.print(f"{name} is a {member.role.value}, {trust}, {state}; limits: {limits}.")


def _amount(text: str) -> int | None:
    if text == OWN:
        return None
    if not text.isascii() or not text.isdigit():
        raise InvalidRequest(f"{text!r} is no limit.", hint=f"Give a whole number, or {OWN!r}.")
    return int(text)


def _limits(member: Member) -> str:
    own = {word: getattr(member.quota, key) for key, word in QUOTAS.items()}
    return ", ".join(f"{value:,} {word}" for word, value in own.items() if value is not None)
