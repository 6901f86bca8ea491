"""One protection from a folder of photos to a folder of perturbed ones, resumable at any round."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from mos_diffusion.base_model import BaseModel, base_digest, load_base
from mos_protocol.errors import Conflict, InvalidRequest

from mos_client.protecting.loop import ProtectionLoop
from mos_client.protecting.photos import WrittenPhoto, compare_written, read_photos, write_photos
from mos_client.protecting.settings import WORDS, ProtectionSettings
from mos_client.protecting.surrogate import surrogate_on
from mos_client.tuning.dataset import read_dataset
from mos_client.tuning.destination import fresh_folder
from mos_client.tuning.precision import choose_device
from mos_client.tuning.preparing import check_resolution
from mos_client.tuning.progress import LossMeter, OnProgress, Phase, TuneProgress, ignore_progress
from mos_client.tuning.state import fingerprint, forget_state, load_state, save_state

# Part of every fingerprint: raise it when a change makes the same settings give other pictures.
RECIPE = "protect/1"


@dataclass(frozen=True)
class Protection:
    """The files that were written, and the surrogate's loss on them, round by round."""

    photos: tuple[WrittenPhoto, ...]
    losses: tuple[float, ...]


def protect(
    settings: ProtectionSettings,
    folder: Path,
    out: Path,
    work: Path,
    on_progress: OnProgress = ignore_progress,
    *,
    base: BaseModel | None = None,
    restart: bool = False,
) -> Protection:
    """Write perturbed copies of the photos in `folder` to `out`, which appears whole at the end.

    The same settings in the same `work` folder go on with a run that was stopped. A base that is
    given is left as it was. Raises `Conflict` when `out` holds anything, and `InvalidRequest` for
    photos or settings that can't be used, and for a `work` folder of another run unless `restart`.
    """
    check_places(folder, out, work)
    data = read_dataset(folder, WORDS)
    base = base or load_base(settings.base, device=choose_device(settings.device))
    resolution = check_resolution(settings.resolution, base)
    photos = read_photos(folder, data, settings.longest_side or 2 * base.resolution)
    mark = fingerprint(
        settings.deciding() | {"resolution": resolution},
        recipe=RECIPE,
        data=data.digest,
        base=base_digest(base),
    )
    if restart:
        forget_state(work)
    saved = load_state(work, fingerprint=mark)
    message = f"{len(photos)} photos, {settings.rounds} rounds"
    on_progress(TuneProgress(Phase.PREPARING, 0, settings.rounds, message=message))
    with surrogate_on(base, settings) as surrogate:
        loop = ProtectionLoop(surrogate, photos, settings, resolution)
        if saved is not None:
            loop.restore(saved)
        _perturb(loop, settings, work, mark, on_progress)
    written = fresh_folder(out)
    write_photos(photos, [loop.perturbations.pixels(n) for n in range(len(photos))], written)
    compared = compare_written(photos, written)
    os.replace(written, out)
    _tidy(work)
    return Protection(tuple(compared), tuple(loop.losses))


def check_places(folder: Path, out: Path, work: Path) -> None:
    """Raise `InvalidRequest` or `Conflict` unless the folders can be read from and written to."""
    if not folder.is_dir():
        raise InvalidRequest(f"{folder} is no folder.", hint="Give the folder with the photos.")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise Conflict(
            f"{out} exists and is no empty folder.",
            hint="Name another folder for the protected photos.",
        )
    if folder.resolve() in {place.resolve() for place in (out, work)}:
        raise InvalidRequest(
            f"{folder} holds the originals, which stay as they are.", hint="Name another folder."
        )


def _tidy(work: Path) -> None:
    """Remove the state, which is not needed any more, and its folder unless more is in it."""
    forget_state(work)
    if not any(work.iterdir()):
        work.rmdir()


def _perturb(
    loop: ProtectionLoop,
    settings: ProtectionSettings,
    work: Path,
    mark: str,
    on_progress: OnProgress,
) -> None:
    """Take the rounds that are left; save and tell."""
    meter = LossMeter(settings.rounds, loop.losses)
    if loop.losses:
        on_progress(meter.report(f"going on after round {len(loop.losses)}"))
    while not loop.done:
        meter.add(loop.round())
        if len(loop.losses) % settings.save_every == 0 or loop.done:
            save_state(work, loop.state(), fingerprint=mark)
        on_progress(meter.report())
