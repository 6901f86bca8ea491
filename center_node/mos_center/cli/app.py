"""The command tree."""

from __future__ import annotations

import typer

from mos_center.cli import base, fuse, openapi, serve, token
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
app.command("fuse-local")(fuse.fuse_local)
app.command()(openapi.openapi)
app.add_typer(base.app)
app.add_typer(token.app)
