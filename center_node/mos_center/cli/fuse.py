"""`mos-center fuse-local`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from mos_protocol.errors import InvalidRequest
from mos_protocol.layer_map import Part
from mos_protocol.tensors import moments_path
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mos_center.cli.edge import console
from mos_center.domain.models import Solver


def fuse_local(
    base: Annotated[Path, typer.Option(help="The base model's diffusers folder")],
    concept: Annotated[list[str], typer.Option(help="A package folder, or FOLDER:WEIGHT; repeat")],
    out: Annotated[Path, typer.Option(help="The folder to write; it must not exist")],
    solver: Annotated[Solver, typer.Option(help="How to solve")] = Solver.CLOSED_FORM,
    prior: Annotated[
        Path | None, typer.Option(help="Folder with the base's prior moments (moments/…)")
    ] = None,
    prior_weight: Annotated[
        float | None,
        typer.Option(help="How much the prior counts  [default: 0.1 with --prior, else 0]"),
    ] = None,
    ridge: Annotated[
        list[str] | None,
        typer.Option(help="Pull towards the average, PART=VALUE (text_encoder, cross_kv, spatial)"),
    ] = None,
) -> None:
    """Fuse package folders into a model folder, without a server."""
    packages = [_package(text) for text in concept]
    ridges = dict(_ridge(text) for text in ridge or [])
    # Late: they import torch.
    from mos_center.fusion import local
    from mos_center.fusion.settings import DEFAULT_RIDGE, FusionSettings
    from mos_center.fusion.settings import Solver as FusionSolver

    blocks = _prior_files(prior) if prior else None
    weight = prior_weight if prior_weight is not None else (0.1 if prior else 0.0)
    settings = FusionSettings(
        solver=FusionSolver(solver.value), ridge={**DEFAULT_RIDGE, **ridges}, prior_weight=weight
    )
    with _progress() as progress:
        task = progress.add_task("reading", total=None)

        def on_progress(done: int, total: int, message: str) -> None:
            progress.update(task, completed=done, total=total, description=message)

        report = local.fuse_local(base, packages, settings, out, blocks, on_progress)
    _warn(report, out)
    console.print(f"Fused {len(packages)} concepts into {out}", soft_wrap=True, markup=False)


def _warn(report: dict[str, object], out: Path) -> None:
    """Tell of exploded layers: the first one, and how many there are."""
    warnings = report["warnings"]
    if isinstance(warnings, list) and warnings:
        more = f" ({len(warnings)} such layers, see {out / 'report.json'})"
        console.print(f"warning: {warnings[0]}{more}", soft_wrap=True, markup=False)


def _package(text: str) -> tuple[Path, float]:
    """Parse `FOLDER` or `FOLDER:WEIGHT`; a folder that has a colon in its name wins."""
    folder, colon, weight = text.rpartition(":")
    if not colon or Path(text).is_dir():
        return Path(text), 1.0
    try:
        return Path(folder), float(weight)
    except ValueError:
        raise InvalidRequest(
            f"{weight!r} is no weight.", hint="Write --concept FOLDER or --concept FOLDER:0.8."
        ) from None


def _ridge(text: str) -> tuple[Part, float]:
    part, _, value = text.partition("=")
    try:
        return Part(part), float(value)
    except ValueError:
        raise InvalidRequest(
            f"{text!r} is no ridge.", hint=f"Write PART=VALUE; parts: {', '.join(Part)}."
        ) from None


def _prior_files(folder: Path) -> dict[str, Path]:
    moments = (folder / moments_path("x")).parent
    files = {path.stem: path for path in sorted(moments.glob("*.safetensors"))}
    if not files:
        raise InvalidRequest(
            f"{folder} has no prior moments.",
            hint="It must hold moments/<block>.safetensors, a file per block.",
        )
    return files


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )
