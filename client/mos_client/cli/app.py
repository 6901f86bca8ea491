"""The commands, put together; `main` is the entry point."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from mos_client.cli import (
    center_compositions,
    center_evaluations,
    composing,
    concepts,
    evaluating,
    export,
    failures,
    fusion_changes,
    fusions,
    importing,
    joining,
    members,
    model_versions,
    models,
    packages,
    protecting,
    registry,
    reviews,
    sampling,
    tokens,
    tuning,
    whose,
)
from mos_client.cli.invocation import Certificates, Invocation

app = typer.Typer(
    name="mos-client",
    help="Tune concepts of a diffusion model here, have them fused at a center, use the result.",
    epilog="Exit codes: 0 done, 1 failed, 2 invalid, 3 package refused, 4 conflict, 5 not found or "
    "withdrawn, 6 not allowed, 7 try again later, 8 fusion failed, 9 quota used up, "
    "130 interrupted; docs/errors.md explains them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("join")(joining.join)
app.command("whoami")(joining.whoami)
app.command("logout")(joining.logout)
app.command("centers")(joining.centers)
app.add_typer(tokens.app, name="token")
app.command("tune")(tuning.tune)
app.command("import")(importing.import_lora)
app.add_typer(packages.app, name="package")
app.command("submit")(packages.submit)
app.command("concepts")(registry.concepts)
app.add_typer(concepts.app, name="concept")
app.command("bases")(registry.bases)
app.command("fuse")(fusions.fuse)
app.command("fusions")(fusions.fusions)
app.add_typer(fusion_changes.app, name="fusion")
app.command("models")(models.models)
app.add_typer(model_versions.app, name="model")
app.add_typer(center_evaluations.app, name="evaluation")
app.add_typer(center_compositions.app, name="composition")
app.command("pull")(models.pull)
app.command("export")(export.export)
app.command("sample")(sampling.sample)
app.command("whose")(whose.whose)
app.command("compose")(composing.compose)
app.command("storyboard")(composing.storyboard)
app.command("evaluate")(evaluating.evaluate)
app.command("protect")(protecting.protect)
app.add_typer(reviews.app, name="review")
app.add_typer(members.app, name="member")
app.command("invite")(members.invite)


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
        typer.Option(
            envvar="MOS_CENTER", metavar="URL", help="The center's address (the one joined)."
        ),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="MOS_TOKEN", metavar="TOKEN", show_default=False, help="The token for it."
        ),
    ] = None,
    ca: Annotated[
        Path | None,
        typer.Option(envvar="MOS_CA", metavar="FILE", help="The center's own CA (PEM)."),
    ] = None,
    client_cert: Annotated[
        Path | None,
        typer.Option(
            envvar="MOS_CLIENT_CERT",
            metavar="FILE",
            help="Your certificate, for centers that ask for one (PEM).",
        ),
    ] = None,
    client_key: Annotated[
        Path | None,
        typer.Option(envvar="MOS_CLIENT_KEY", metavar="FILE", help="Its private key (PEM)."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(envvar="MOS_CONFIG_DIR", metavar="DIR", help="Where joined centers are kept."),
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
    certificates = Certificates(ca, client_cert, client_key)
    context.obj = Invocation(center, token, as_json, certificates, config)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `mos-client` with `arguments`, or the process's; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    return failures.run(lambda: app(given, prog_name="mos-client"), as_json="--json" in given)
