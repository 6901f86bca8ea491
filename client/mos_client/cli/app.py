"""The commands, put together; `main` is the entry point."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from mos_client.cli import (
    export,
    failures,
    fusions,
    importing,
    models,
    packages,
    registry,
    sampling,
    tuning,
)
from mos_client.cli.invocation import Invocation

app = typer.Typer(
    name="mos-client",
    help="Tune concepts of a diffusion model here, have them fused at a center, use the result.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("tune")(tuning.tune)
app.command("import")(importing.import_lora)
app.add_typer(packages.app, name="package")
app.command("submit")(packages.submit)
app.command("concepts")(registry.concepts)
app.command("bases")(registry.bases)
app.command("fuse")(fusions.fuse)
app.command("fusions")(fusions.fusions)
app.command("models")(models.models)
app.command("pull")(models.pull)
app.command("export")(export.export)
app.command("sample")(sampling.sample)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"mos-client {version('mos-federation')}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    center: Annotated[
        str | None,
        typer.Option(envvar="MOS_CENTER", metavar="URL", help="The center's address."),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="MOS_TOKEN", metavar="TOKEN", show_default=False, help="The token for it."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON documents instead of tables.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Tune concepts of a diffusion model here, have them fused at a center, use the result."""
    context.obj = Invocation(center, token, as_json)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `mos-client` with `arguments`, or the process's; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    return failures.run(lambda: app(given, prog_name="mos-client"), as_json="--json" in given)
