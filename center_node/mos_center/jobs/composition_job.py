"""The job behind a composition: a batch of pictures per step, each kept as soon as it is drawn.

Somebody who cancels is heard between two denoising steps, and so is a worker that stops: what was
drawn stays, and the rest is drawn at the next start, or elsewhere.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from mos_diffusion.composing import compose, scene_provenance
from mos_diffusion.provenance import Provenance, save_picture
from mos_protocol.errors import Conflict, JobFailed, MosError
from mos_protocol.manifest import sha256_of
from mos_protocol.scene import Scene
from mos_protocol.scene_file import read_scene
from PIL.Image import Image

from mos_center.domain.compositions import CompositionPlan
from mos_center.domain.jobs import Job
from mos_center.domain.models import StoredFile
from mos_center.domain.ports import BlobStore, CompositionLedger
from mos_center.jobs.drawing_model import DrawingModel
from mos_center.jobs.durable import Steps
from mos_center.jobs.endings import NotWantedError, unexpected
from mos_center.jobs.patience import Patience

log = logging.getLogger(__name__)

# A seed draws the same picture in batches of the same size: they are made up once for all.
BATCH = 4
TELL_SECONDS = 0.5
_LOST = JobFailed("The composition's job was lost.", hint="Ask for it again.")
_KILLED = JobFailed(
    "Drawing it ended its worker again and again.",
    hint="Ask for smaller pictures, or look at the workers' log.",
)


class CompositionJob:
    """Runs the compositions that a ledger describes.

    work: a folder for files on their way. patience: how long to wait for a ledger that is away.
    tell_seconds: how often it tells how far it is, and asks whether it is still wanted.
    """

    def __init__(
        self,
        ledger: CompositionLedger,
        blobs: BlobStore,
        work: Path,
        patience: Patience | None = None,
        *,
        tell_seconds: float = TELL_SECONDS,
    ) -> None:
        self._tell_seconds = tell_seconds
        self._ledger = ledger
        self._blobs = blobs
        self._work = work
        self._patience = patience or Patience()
        self._model = DrawingModel(blobs, work)

    def unfinished(self) -> Sequence[Job]:
        """The compositions that are to be drawn."""
        return self._ledger.unfinished()

    def run(self, composition_id: str, step: Steps) -> None:
        """Draw, or tell the ledger why not."""
        try:
            self._draw(composition_id, step)
        except NotWantedError:
            log.info("composition.stopped id=%s", composition_id)
        except MosError as error:
            self._fail(composition_id, error)
        except Exception as error:
            log.exception("composition.crashed id=%s", composition_id)
            self._fail(composition_id, unexpected("composition", composition_id, error))

    def lost(self, job_id: str, *, killed: bool) -> bool:
        """Its job ended and nobody heard of it: it is not run again."""
        self._ledger.failed(job_id, _KILLED if killed else _LOST)
        return False

    def _draw(self, composition_id: str, step: Steps) -> None:
        plan = self._patience(partial(self._ledger.begin, composition_id))
        if plan is None:
            return
        scene = read_scene(plan.composition.scene)
        for number, start in enumerate(range(0, len(scene.seeds), BATCH)):
            step(f"draw {number}", partial(self._batch, plan, scene, start))
        self._patience(partial(self._ledger.done, composition_id))

    def _batch(self, plan: CompositionPlan, scene: Scene, start: int) -> None:
        """Draw one batch and put it into the store; again, it is drawn again."""
        composition = plan.composition
        seeds = scene.seeds[start : start + BATCH]
        before, total = start // BATCH * scene.steps, -(-len(scene.seeds) // BATCH) * scene.steps
        tell = partial(self._tell, composition.id, total=total)
        tell(before, message="loading the model")
        model = self._model.of(plan.version)
        pictures = compose(
            model,
            scene.model_copy(update={"seeds": seeds}),
            batch_size=BATCH,
            on_step=_now_and_then(
                lambda done, _: tell(before + done, message="drawing"), self._tell_seconds
            ),
        )
        told = scene_provenance(model, scene, f"{plan.version.model}@{plan.version.version}")
        for number, picture in enumerate(pictures, start):
            made = told.model_copy(update={"seeds": (scene.seeds[number],)})
            self._patience(partial(self._keep, composition.id, number, picture, made))
        tell(before + scene.steps, message="drawing")

    def _tell(self, composition_id: str, done: int, *, total: int, message: str) -> None:
        """Tell how far it is; raises when it is cancelled, and when the worker stops."""
        self._patience.pause(0)
        told = partial(self._ledger.progress, composition_id, done, total, message)
        if not self._patience(told):
            raise NotWantedError

    def _keep(self, composition_id: str, number: int, picture: Image, made: Provenance) -> None:
        path = self._work / "picture.png"
        save_picture(picture, path, made)
        digest = sha256_of(path)
        self._blobs.put_file(path, digest)
        try:
            self._ledger.drawn(composition_id, number, StoredFile(digest, path.stat().st_size))
        except Conflict:
            raise NotWantedError from None

    def _fail(self, composition_id: str, error: MosError) -> None:
        self._patience(partial(self._ledger.failed, composition_id, error))


def _now_and_then(tell: Callable[[int, int], None], seconds: float) -> Callable[[int, int], None]:
    """`tell`, but not again within `seconds`: each time is a write that others wait for."""
    told = time.monotonic()

    def on_step(done: int, total: int) -> None:
        nonlocal told
        if time.monotonic() - told >= seconds:
            tell(done, total)
            told = time.monotonic()

    return on_step
