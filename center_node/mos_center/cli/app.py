"""The command tree."""

from __future__ import annotations

import typer

from mos_center.cli import (
    audit,
    backup,
    base,
    doctor,
    fuse,
    gc,
    invite,
    member,
    migrate,
    openapi,
    serve,
    token,
    worker,
)
from mos_center.cli.edge import ErrorEdge

app = typer.Typer(
    name="mos-center",
    help="The center node: receives concepts, fuses them, publishes models.",
    cls=ErrorEdge,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(serve.serve)
app.command()(worker.worker)
app.command("fuse-local")(fuse.fuse_local)
app.command()(openapi.openapi)
app.command()(migrate.migrate)
app.command()(doctor.doctor)
app.command("gc")(gc.collect_garbage)
app.command()(backup.backup)
app.command()(backup.restore)
app.add_typer(base.app)
app.command()(invite.invite)
app.add_typer(member.app)
app.add_typer(token.app)
app.add_typer(audit.app)
