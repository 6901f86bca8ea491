"""`mos-center fuse-local`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from mos_protocol.errors import InvalidRequest
from mos_protocol.moments import moments_path
from mos_protocol.part_weights import PartWeights, numbers_by_part
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mos_center.cli.edge import console
from mos_center.domain.fuse_methods import solver_of
from mos_center.domain.models import Export, FuseMethod, Solver
from mos_center.domain.solving import DEFAULT_PRIOR_WEIGHT, MAX_REFINE_ROUNDS, RidgeTarget


def fuse_local(
    base: Annotated[Path, typer.Option(help="The base model's diffusers folder")],
    concept: Annotated[
        list[str],
        typer.Option(
            metavar="FOLDER[:WEIGHTS]",
            help="A package folder; repeat. WEIGHTS is a number, or numbers by part: "
            "text_encoder=0.5,cross_kv=1,spatial=0",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The folder to write; it must not exist")],
    fuse_method: Annotated[
        FuseMethod | None,
        typer.Option(help="What becomes of the concepts' changes  [default: gradient]"),
    ] = None,
    solver: Annotated[
        Solver | None,
        typer.Option(
            help="How it is solved: closed-form or lbfgs by gradient, average or sum by "
            "weight-average  [default: the method's first]"
        ),
    ] = None,
    prior: Annotated[
        Path | None, typer.Option(help="Folder with the base's prior moments (moments/…)")
    ] = None,
    prior_weight: Annotated[
        float | None,
        typer.Option(
            help="How much the prior counts  "
            f"[default: {DEFAULT_PRIOR_WEIGHT} with --prior, else 0]"
        ),
    ] = None,
    ridge: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[PART=]VALUE",
            help="How firm the ridge is, for a part (text_encoder, cross_kv, spatial); repeat",
        ),
    ] = None,
    ridge_towards: Annotated[
        RidgeTarget, typer.Option(help="What the ridge pulls towards, and where lbfgs starts")
    ] = RidgeTarget.AVERAGE,
    lbfgs_steps: Annotated[
        list[str] | None,
        typer.Option(metavar="[PART=]N", help="Steps of lbfgs, for a part; repeat"),
    ] = None,
    refine_rounds: Annotated[
        int,
        typer.Option(
            min=0,
            max=MAX_REFINE_ROUNDS,
            help="How often to record inputs again on the fused model and solve once more",
        ),
    ] = 0,
    sums: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            help="Folder that keeps sums, so that later fusions with one concept more or less "
            "read only that one",
        ),
    ] = None,
    withdrawn: Annotated[
        list[Path] | None,
        typer.Option(help="With --sums: package folder of a concept that went out; repeat"),
    ] = None,
    export: Annotated[
        list[Export] | None,
        typer.Option(help="Write the model in a format of other tools too; repeat"),
    ] = None,
    previews: Annotated[
        bool,
        typer.Option(
            "--previews/--no-previews",
            help="Sample the fused model, for pictures beside the concepts' own",
        ),
    ] = False,
) -> None:
    """Fuse package folders into a model folder, without a server."""
    packages = [_package(text) for text in concept]
    ridges = numbers_by_part(ridge or [], float, "ridge")
    steps = numbers_by_part(lbfgs_steps or [], int, "number of steps")
    # Late: they import torch.
    from mos_center.fusion import local
    from mos_center.fusion.settings import FusionSettings

    blocks = _prior_files(prior) if prior else None
    weight = prior_weight if prior_weight is not None else (DEFAULT_PRIOR_WEIGHT if prior else 0.0)
    settings = FusionSettings(
        solver=solver_of(fuse_method, solver),
        ridge=ridges,
        prior_weight=weight,
        lbfgs_steps=steps,
        refine_rounds=refine_rounds,
        ridge_target=ridge_towards,
    )
    with _progress() as progress:
        task = progress.add_task("reading", total=None)

        def on_progress(done: int, total: int, message: str) -> None:
            progress.update(task, completed=done, total=total, description=message)

        report = local.fuse_local(
            base,
            packages,
            settings,
            out,
            blocks,
            on_progress,
            sums=sums,
            withdrawn=withdrawn or [],
            exports=[item.value for item in export or []],
            previews=previews,
        )
    _warn(report)
    told = f"Fused {len(packages)} concepts into {out}"
    if report.get("reused"):
        told += f"; the sums held {report['reused']} of them"
    console.print(told, soft_wrap=True, markup=False)


def _warn(report: dict[str, object]) -> None:
    """Tell of concepts that keep little, of layers that were held back, of previews that failed."""
    warnings = report["warnings"]
    told = [*warnings] if isinstance(warnings, list) else []
    for warning in [*told, *filter(None, [report["unsampled"]])]:
        console.print(f"warning: {warning}", soft_wrap=True, markup=False)


def _package(text: str) -> tuple[Path, PartWeights]:
    """Parse `FOLDER` or `FOLDER:WEIGHTS`; a folder that has a colon in its name wins."""
    folder, colon, weights = text.rpartition(":")
    if not colon or Path(text).is_dir():
        return Path(text), PartWeights()
    return Path(folder), PartWeights.parse(weights)


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
