"""Compositions of a published version of the tiny base.

As a program, `python drawn_center.py DATA NUMBER` runs a worker on the data folder that hangs when
it has told of the picture with this number.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from evaluated_center import EvaluatedCenter, settings_of
from mos_center.domain.access import LOCAL
from mos_center.domain.compositions import Composition
from mos_center.domain.jobs import COMPOSITION
from mos_center.domain.models import StoredFile
from mos_center.domain.policy import Previews
from mos_center.jobs.composition_job import CompositionJob
from mos_center.jobs.fusion_job import FusionJob
from mos_center.jobs.slots import FileSlot
from mos_center.jobs.worker import Worker
from mos_center.opening import opened
from mos_center.service.composition_ledger import CompositionLedgerService

SCENE = {
    "prompt": "a photo of a cat and a dog on the grass",
    "size": [64, 64],
    "seeds": [1, 2, 3, 4, 5, 6],
    "steps": 3,
    "regions": [
        {"id": "left", "box": [0, 0, 32, 64], "prompt": "a cat"},
        {"id": "right", "box": [32, 0, 64, 64], "prompt": "a dog"},
    ],
}


def request(center: EvaluatedCenter, **changes: object) -> Composition:
    """Have the scene drawn with `balls@1`."""
    compositions = center.data.center().compositions
    return compositions.request("balls", "1", SCENE | changes, caller=LOCAL)


def read(center: EvaluatedCenter, composition: Composition) -> Composition:
    """How it stands now."""
    return center.data.center().compositions.get(composition.id, caller=LOCAL)


class HangingLedger(CompositionLedgerService):
    """Touches a file and hangs for ever when it was told of a certain picture."""

    number = 0
    touched = Path()

    def drawn(self, composition_id: str, number: int, picture: StoredFile) -> None:
        super().drawn(composition_id, number, picture)
        if number == self.number:
            self.touched.touch()
            time.sleep(3600)


def work(folder: Path, number: int) -> None:
    """The body of the worker that hangs."""
    with opened(settings_of(folder)) as data:
        ledger = HangingLedger(data.database, data.blobs)
        ledger.number, ledger.touched = number, folder / "hangs"
        settings = data.settings
        worker = Worker(
            settings.jobs,
            FileSlot(settings.data / "worker.lock"),
            FusionJob(data.ledger(), data.blobs, settings.work, previews=Previews.NEVER),
            {COMPOSITION: CompositionJob(ledger, data.blobs, settings.drawing)},
        )
        worker.start()
        worker.wait()


if __name__ == "__main__":
    work(Path(sys.argv[1]), int(sys.argv[2]))
