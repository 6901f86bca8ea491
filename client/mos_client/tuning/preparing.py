"""What a run needs before its first step, and the fingerprint of all that decides its result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mos_diffusion.base_model import BaseModel, base_digest, load_base
from mos_protocol.errors import InvalidRequest

from mos_client.tuning.dataset import Dataset, read_dataset
from mos_client.tuning.penalty import Prior, prior_digest
from mos_client.tuning.precision import Machine, choose_machine
from mos_client.tuning.progress import OnProgress, Phase, TuneProgress
from mos_client.tuning.regularisation import read_regularisation, sample_regularisation
from mos_client.tuning.settings import TuningSettings
from mos_client.tuning.state import fingerprint

# Part of every fingerprint: raise it when a change makes the same settings give other weights.
RECIPE = "2"


@dataclass(frozen=True)
class Run:
    """What one call of `tune` works with; `fingerprint` covers all that decides the result."""

    settings: TuningSettings
    machine: Machine
    base: BaseModel
    data: Dataset
    regularisation: Dataset | None
    prior: Prior | None
    steps: int
    resolution: int
    work: Path
    fingerprint: str
    on_progress: OnProgress


def prepare(
    settings: TuningSettings,
    data: Path,
    work: Path,
    on_progress: OnProgress,
    base: BaseModel | None,
    prior: Prior | None,
    regularisation: Path | None,
) -> Run:
    """Read the data, load the base if none is given, and sample pictures of the class if asked.

    Raises `InvalidRequest` for what can't be used.
    """
    dataset = read_dataset(data, settings.words)
    # A folder that can't be used shows before the base is loaded.
    beside = read_regularisation(regularisation, settings) if regularisation else None
    if settings.prior_penalty and prior is None:
        raise InvalidRequest(
            f"A prior penalty of {settings.prior_penalty:g} needs the base's prior moments.",
            hint="Name the center that has this base, or set the prior penalty to 0.",
        )
    steps = settings.steps_for(len(dataset.pictures))

    def tell(message: str) -> None:
        on_progress(TuneProgress(Phase.PREPARING, 0, steps, message=message))

    tell(f"{len(dataset.pictures)} pictures, {steps} steps")
    machine = choose_machine(settings)
    mine = base is None
    base = base or load_base(settings.base, device=machine.device)
    resolution = check_resolution(settings.resolution, base)
    digest = base_digest(base)
    if mine and machine.dtype != base.dtype:
        # After the digest, which is over the exact weights. The VAE stays fp32: it overflows.
        base.unet.to(machine.dtype)
        base.text_encoder.to(machine.dtype)
    if beside is None and settings.regularisation_images:
        with machine.accelerator.main_process_first():
            folder = sample_regularisation(base, digest, settings, resolution, work, tell)
        beside = read_regularisation(folder, settings)
    mark = fingerprint(
        settings.deciding()
        | {"steps": steps, "resolution": resolution, "mixed_precision": machine.precision}
        | {"processes": machine.accelerator.num_processes},
        recipe=RECIPE,
        data=dataset.digest,
        regularisation=beside.digest if beside else "",
        base=digest,
        prior=prior_digest(prior) if prior and settings.prior_penalty else "",
    )
    return Run(
        settings, machine, base, dataset, beside, prior, steps, resolution, work, mark, on_progress
    )


def check_resolution(wanted: int | None, base: BaseModel) -> int:
    """The side of the pictures; raise `InvalidRequest` when the VAE can't divide it."""
    resolution = wanted or base.resolution
    if resolution % base.vae_factor or resolution < 4 * base.vae_factor:
        raise InvalidRequest(
            f"A resolution of {resolution} pixels does not fit this base model.",
            hint=f"Use a multiple of {base.vae_factor}; its own size is {base.resolution}.",
        )
    return resolution
