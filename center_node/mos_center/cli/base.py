"""`mos-center base`."""

from __future__ import annotations

import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from mos_protocol.errors import InvalidRequest
from mos_protocol.names import check_slug
from rich.markup import escape
from rich.table import Table

from mos_center.cli.edge import console
from mos_center.cli.options import Data, opened_data

app = typer.Typer(name="base", help="The base models that concepts are for.", no_args_is_help=True)

DEFAULT_SAMPLES = 64


class PriorLayers(StrEnum):
    """Which layers a prior is recorded for."""

    ATTENTION = "attention"
    ALL = "all"


@app.command()
def add(
    name: str,
    path: Annotated[str, typer.Argument(help="Diffusers folder, or the id of a hub model")],
    data: Data = None,
    prior_images: Annotated[
        Path | None,
        typer.Option(help="Folder of generic pictures with .txt captions to record the prior on"),
    ] = None,
    prior_samples: Annotated[
        int | None,
        typer.Option(
            help=f"Else: how many pictures to sample for it  [default: {DEFAULT_SAMPLES}]"
        ),
    ] = None,
    prior_captions: Annotated[
        Path | None, typer.Option(help="Captions to sample with, one per line")
    ] = None,
    prior_layers: Annotated[
        PriorLayers,
        typer.Option(
            help="Layers to record it for: those that tuning changes, or also the feed-forward "
            "and projection layers that imported LoRAs change (takes longer)"
        ),
    ] = PriorLayers.ATTENTION,
    no_prior: Annotated[bool, typer.Option("--no-prior", help="Record no prior")] = False,
    seed: Annotated[int, typer.Option(help="Seed of samples and noise")] = 0,
    device: Annotated[str, typer.Option(help="Where the model runs, for example cuda")] = "cpu",
) -> None:
    """Register a base model and record how its layers respond to generic pictures.

    The folder is used where it is and must not change.
    """
    check_slug(name, "base name")
    if sum([no_prior, prior_images is not None, prior_samples is not None]) > 1:
        raise InvalidRequest(
            "--no-prior, --prior-images and --prior-samples exclude each other.",
            hint="Give one of them.",
        )
    # Late: it imports torch.
    from mos_center.base_models import prior as base_prior
    from mos_center.base_models import statistics as base_statistics

    folder = base_prior.local_folder(path)
    with (
        opened_data(data) as found,
        tempfile.TemporaryDirectory() as work,
        console.status("reading the base model") as status,
    ):
        layers, prior = base_prior.read_layer_map(folder), {}
        if not no_prior:
            prior = base_prior.record(
                base_prior.load(folder, device),
                Path(work),
                images=prior_images,
                samples=prior_samples or DEFAULT_SAMPLES,
                captions=prior_captions,
                seed=seed,
                on_progress=status.update,
                extra=prior_layers is PriorLayers.ALL,
            )
        status.update("measuring the base model")
        statistics = base_statistics.measure(folder, layers, prior)
        record = found.center().bases.add(name, folder, layers, prior, statistics)
    console.print(
        f"{record.name}: {record.digest[:12]}…, {len(record.layer_map.blocks)} blocks, "
        f"{len(record.layer_map.cross_attention)} cross-attention layers, "
        f"prior {'recorded' if record.prior else 'none'}"
    )


@app.command("list")
def list_bases(data: Data = None) -> None:
    """List the registered bases."""
    with opened_data(data) as found:
        bases = found.center().bases.all()
    table = Table("name", "digest", "cross-attention layers", "prior", "folder")
    for base in bases:
        table.add_row(
            base.name,
            f"{base.digest[:12]}…",
            str(len(base.layer_map.cross_attention)),
            "yes" if base.prior else "no",
            escape(str(base.path)),
        )
    console.print(table)
