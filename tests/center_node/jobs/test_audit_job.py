"""The job of an audit, on the tiny base: it tells its ledger what came of it, whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mos_center.domain.audits import AuditPlan
from mos_center.domain.jobs import Job
from mos_center.domain.models import BaseRecord, PlannedConcept
from mos_center.jobs.audit_job import ConceptAuditJob
from mos_protocol.errors import MosError
from mos_protocol.manifest import read_manifest
from mos_protocol.names import Digest
from mos_protocol.part_weights import PartWeights


@dataclass
class MemoryLedger:
    """An `AuditLedger` that remembers what it was told."""

    plan: AuditPlan | None
    results: dict[str, Mapping[str, object]] = field(default_factory=dict)
    errors: dict[str, MosError] = field(default_factory=dict)

    def unfinished(self) -> tuple[Job, ...]:
        return ()

    def begin(self, audit_id: str) -> AuditPlan | None:
        return self.plan

    def done(self, audit_id: str, result: Mapping[str, object]) -> None:
        self.results[audit_id] = result

    def failed(self, audit_id: str, error: MosError) -> None:
        self.errors[audit_id] = error


@dataclass(frozen=True)
class FolderBlobs:
    """As much of a `BlobStore` as the job reads."""

    files: Mapping[str, Path]

    def local_path(self, digest: Digest) -> AbstractContextManager[Path]:
        return nullcontext(self.files[digest])


def step(name: str, work: Callable[[], Any]) -> Any:
    return work()


def job_for(tiny: SimpleNamespace, base: Path) -> tuple[ConceptAuditJob, MemoryLedger]:
    package = tiny.packages[0]
    manifest = read_manifest(package)
    files = {entry.path: Digest(entry.sha256) for entry in manifest.files}
    record = BaseRecord("tiny", Digest(tiny.layers.digest), base, tiny.layers)
    concept = PlannedConcept("ada/c0@1", PartWeights(), manifest, files)
    ledger = MemoryLedger(AuditPlan(record, concept))
    blobs = FolderBlobs({digest: package / path for path, digest in files.items()})
    return ConceptAuditJob(ledger, blobs), ledger  # type: ignore[arg-type]


def test_random_moments_are_suspicious(tiny: SimpleNamespace) -> None:
    job, ledger = job_for(tiny, tiny.base)

    job.run("one", step)

    assert ledger.errors == {}
    result = ledger.results["one"]
    assert result["verdict"] == "suspicious"
    assert len(result["worst"]) == 5


def test_a_base_that_is_gone_fails_the_audit(tiny: SimpleNamespace, tmp_path: Path) -> None:
    job, ledger = job_for(tiny, tmp_path / "gone")

    job.run("one", step)

    assert ledger.results == {}
    assert "one" in ledger.errors


def test_what_is_finished_is_left_alone(tiny: SimpleNamespace) -> None:
    job, ledger = job_for(tiny, tiny.base)
    ledger.plan = None

    job.run("one", step)

    assert (ledger.results, ledger.errors) == ({}, {})


def test_a_lost_job_is_a_failed_audit(tiny: SimpleNamespace) -> None:
    job, ledger = job_for(tiny, tiny.base)

    assert job.lost("one", killed=True) is False
    assert "one" in ledger.errors
