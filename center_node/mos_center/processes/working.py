"""Putting a worker together from the settings; with it, torch is imported."""

from __future__ import annotations

import importlib.metadata
import os
import re
import socket
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mos_protocol.errors import InvalidRequest

from mos_center.domain.jobs import AUDIT, COMPOSITION, EVALUATION, VALIDATION
from mos_center.domain.ports import FusionQueue
from mos_center.domain.workers import WorkerRecord
from mos_center.opening import OpenedData
from mos_center.service.concept_audits import AuditLedgerService
from mos_center.service.workers import WorkerLedgerService
from mos_center.settings import Settings

if TYPE_CHECKING:
    from mos_center.jobs.slots import Slot
    from mos_center.jobs.sweeper import JobKind
    from mos_center.jobs.worker import Worker

_DISTRIBUTION = "mos-federation"
_VISIBLE = "CUDA_VISIBLE_DEVICES"


def choose_device(device: str, environment: MutableMapping[str, str] = os.environ) -> None:
    """Show this process the named device only; before torch looks for GPUs.

    `cuda:N` counts among those that the process was shown from outside.
    """
    if device == "cpu":
        environment[_VISIBLE] = ""
    elif device.startswith("cuda:"):
        number = int(device.partition(":")[2])
        shown = [item for item in environment.get(_VISIBLE, "").split(",") if item]
        if shown and number >= len(shown):
            raise InvalidRequest(
                f"There is no GPU {number}: this process is shown {len(shown)}.",
                hint=f"Choose a lower number, or change {_VISIBLE}.",
            )
        environment[_VISIBLE] = shown[number] if shown else str(number)


def executor_name(settings: Settings) -> str:
    """The name of this worker's slot: stable, and its own on this host and device."""
    name = settings.executor or f"{socket.gethostname()}-{settings.device or 'worker'}"
    return re.sub(r"[^A-Za-z0-9._-]", "-", name)


@contextmanager
def remote_queue(settings: Settings) -> Iterator[FusionQueue | None]:
    """How a process without a worker hands jobs over; None: workers find them by themselves."""
    if not settings.jobs.startswith("postgresql"):
        yield None
        return
    from mos_center.jobs.queue import RemoteQueue

    queue = RemoteQueue(settings.jobs)
    try:
        yield queue
    finally:
        queue.close()


@dataclass(frozen=True)
class _Place:
    """Who a worker is; `folder` is its own below those of all workers of a host."""

    executor: str
    folder: str
    slot: Slot

    @classmethod
    def of(cls, settings: Settings) -> _Place:
        from mos_center.jobs.durable import EXECUTOR
        from mos_center.jobs.slots import FileSlot, PostgresSlot

        if not settings.jobs.startswith("postgresql"):
            # The only one: its name and folders are those of centers of old.
            return cls(EXECUTOR, "", FileSlot(settings.data / "worker.lock"))
        name = executor_name(settings)
        return cls(name, name, PostgresSlot(settings.jobs, name))


def new_worker(data: OpenedData, settings: Settings) -> Worker:
    """A worker on this data that has not been started."""
    choose_device(settings.device)
    # Only here: a process without a worker does without torch.
    from mos_center.fusion.parallel import compute_device, device_name
    from mos_center.fusion.sums_cache import SumsCache
    from mos_center.jobs.audit_job import ConceptAuditJob
    from mos_center.jobs.composition_job import CompositionJob
    from mos_center.jobs.evaluation_job import EvaluationJob, EvaluationTools
    from mos_center.jobs.fusion_job import FusionJob
    from mos_center.jobs.heartbeat import Heartbeat
    from mos_center.jobs.patience import Patience
    from mos_center.jobs.validation_job import ValidationJob
    from mos_center.jobs.worker import Worker

    if settings.device.startswith("cuda") and compute_device().type != "cuda":
        raise InvalidRequest(
            f"There is no usable GPU for {settings.device}.",
            hint="Look at nvidia-smi, or choose MOS_DEVICE=cpu.",
        )
    place = _Place.of(settings)
    patience = Patience()
    limit = settings.sums_cache_bytes
    sums = SumsCache(settings.sums / place.folder, limit) if limit else None
    fusions = FusionJob(
        data.ledger(),
        data.blobs,
        settings.work / place.folder,
        sums,
        patience,
        executor=place.executor,
        previews=settings.previews,
    )
    kinds: dict[str, JobKind] = {
        COMPOSITION: CompositionJob(
            data.composition_ledger(), data.blobs, settings.drawing / place.folder, patience
        ),
        AUDIT: ConceptAuditJob(AuditLedgerService(data.database), data.blobs),
        VALIDATION: ValidationJob(data.center().validation),
        EVALUATION: EvaluationJob(
            data.evaluation_ledger(),
            data.blobs,
            settings.evaluations,
            EvaluationTools(settings.evaluation_clip, settings.evaluation_prompts),
            patience,
        ),
    }
    return Worker(
        settings.jobs,
        place.slot,
        fusions,
        kinds,
        executor=place.executor,
        patience=patience,
        heartbeat=Heartbeat(
            WorkerLedgerService(data.database), _introduced(place.executor, device_name())
        ),
    )


def _introduced(executor: str, device: str) -> WorkerRecord:
    """This process as a worker that does nothing yet."""
    now = datetime.now(UTC)
    version = importlib.metadata.version(_DISTRIBUTION)
    return WorkerRecord(executor, socket.gethostname(), os.getpid(), device, version, "", now, now)
