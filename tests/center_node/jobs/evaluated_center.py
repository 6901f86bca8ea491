"""A center with one published version of two concepts, and a worker that can evaluate it.

As a program, `python evaluated_center.py DATA COUNT` runs a worker on the data folder that hangs
when it has told of so many pictures.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

from mos_center.domain.access import LOCAL, Visibility
from mos_center.domain.evaluations import Evaluation, EvaluationRequest
from mos_center.domain.jobs import EVALUATION
from mos_center.domain.policy import Previews
from mos_center.jobs.evaluation_job import EvaluationJob, EvaluationTools
from mos_center.jobs.fusion_job import FusionJob
from mos_center.jobs.slots import FileSlot
from mos_center.jobs.worker import Worker
from mos_center.opening import OpenedData, opened
from mos_center.service.evaluation_ledger import EvaluationLedgerService
from mos_center.service.fusion_requests import FusionRequest, WantedConcept
from mos_center.settings import Settings

CLIP = Path(__file__).resolve().parents[3] / "examples/tinyworld/clip"
TEXTS = ("a photo of a <TOK>", "a <TOK> on the beach")
REQUEST = EvaluationRequest(texts=TEXTS)
# Both concepts are balls: by the class word their pictures are the same.
PICTURES = 2 * 2 * (1 + 2 + 2)


@dataclass(frozen=True)
class EvaluatedCenter:
    """The center's data without a worker."""

    data: OpenedData

    @property
    def settings(self) -> Settings:
        return self.data.settings

    def request(self, request: EvaluationRequest = REQUEST) -> Evaluation:
        """Have `balls@1` evaluated."""
        return self.data.center().evaluations.request("balls", "1", request, caller=LOCAL)[0]

    def read(self, evaluation: Evaluation) -> Evaluation:
        """How it stands now."""
        return self.data.center().evaluations.get(evaluation.id, caller=LOCAL)


@contextmanager
def evaluated_center(
    tiny: SimpleNamespace, folder: Path, url: str = ""
) -> Iterator[EvaluatedCenter]:
    """The center on SQLite in the folder, or with its database at the URL."""
    settings = settings_of(folder, **({"database_url": url} if url else {}))
    with opened(settings) as data:
        _publish(data, tiny)
        yield EvaluatedCenter(data)


def settings_of(folder: Path, **changes: object) -> Settings:
    return Settings(
        data=folder,
        evaluation_clip=str(CLIP),
        default_visibility=Visibility.PUBLIC,
        previews=Previews.NEVER,
        device="cpu",
        **changes,
    )


def _publish(data: OpenedData, tiny: SimpleNamespace) -> None:
    """Publish the base as if it were the fused model: whoever runs it won't see the difference."""
    from center_steps import store, submit_folder

    center = data.center()
    center.bases.add("tiny", tiny.base, tiny.layers, {})
    for package in tiny.packages:
        submit_folder(center, package)
    wanted = FusionRequest("balls", "tiny", [WantedConcept("ada/c0"), WantedConcept("ada/c1")])
    fusion, _ = center.fusions.request(wanted, caller=LOCAL)
    files = [path for path in sorted(tiny.base.rglob("*")) if path.is_file()]
    data.ledger().started(fusion.id)
    data.ledger().publish(
        fusion.id,
        [store(data, path.relative_to(tiny.base).as_posix(), path.read_bytes()) for path in files],
        {},
    )


class HangingLedger(EvaluationLedgerService):
    """Touches a file and hangs for ever when it was told of so many pictures."""

    count = 0
    touched = Path()

    def progress(self, evaluation_id: str, done: int, total: int, message: str) -> bool:
        wanted = super().progress(evaluation_id, done, total, message)
        if done >= self.count:
            self.touched.touch()
            time.sleep(3600)
        return wanted


def work(folder: Path, count: int) -> None:
    """The body of the worker that hangs."""
    with opened(settings_of(folder)) as data:
        ledger = HangingLedger(data.database, data.blobs)
        ledger.count, ledger.touched = count, folder / "hangs"
        settings = data.settings
        worker = Worker(
            settings.jobs,
            FileSlot(settings.data / "worker.lock"),
            FusionJob(data.ledger(), data.blobs, settings.work, previews=Previews.NEVER),
            {
                EVALUATION: EvaluationJob(
                    ledger, data.blobs, settings.evaluations, EvaluationTools(str(CLIP))
                )
            },
        )
        worker.start()
        worker.wait()


if __name__ == "__main__":
    work(Path(sys.argv[1]), int(sys.argv[2]))
