from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from mos_center.domain.states import FusionState, SubmissionState
from mos_center.opening import OpenedData
from mos_center.telemetry.counts import DatabaseCounts
from mos_center.telemetry.listener import listening_for_probes
from mos_center.telemetry.metrics import JOB_STEP_SECONDS, REGISTRY, job_step
from mos_protocol.errors import InvalidRequest, Unavailable
from prometheus_client import CollectorRegistry, Gauge

DOCS = Path(__file__).parents[3] / "docs" / "metrics.md"


def test_every_metric_and_its_labels_are_documented(data: OpenedData) -> None:
    counted = CollectorRegistry()
    counted.register(DatabaseCounts(data.database))
    families = [*REGISTRY.collect(), *counted.collect()]
    defined = {family.name: family.type for family in families if family.name.startswith("mos_")}

    rows = re.findall(r"^\| `(mos_\w+)` \| (\w+) \|", DOCS.read_text(), re.MULTILINE)

    documented = {name.removesuffix("_total"): kind for name, kind in rows}
    assert documented == defined


def test_documented_labels_are_those_that_are_used() -> None:
    rows = re.findall(r"^\| `(mos_\w+)` \| \w+ \| ([^|]*) \|", DOCS.read_text(), re.MULTILINE)
    told = {
        name.removesuffix("_total"): set(re.findall(r"`(\w+)`", labels)) for name, labels in rows
    }

    for name, collector in REGISTRY._names_to_collectors.items():
        if name in told and hasattr(collector, "_labelnames"):
            assert set(collector._labelnames) == told[name], name


def test_submissions_and_fusions_are_counted_by_state(
    data: OpenedData, submit, center, base
) -> None:
    submit()
    submit()
    registry = CollectorRegistry()
    registry.register(DatabaseCounts(data.database))

    def told(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    assert told("mos_submissions", state=SubmissionState.APPROVED) == 2
    assert told("mos_submissions", state=SubmissionState.UPLOADING) == 0
    assert told("mos_fusions", state=FusionState.QUEUED) == 0
    assert told("mos_queue_oldest_seconds") == 0


def test_the_queue_is_as_old_as_its_oldest_fusion(data: OpenedData) -> None:
    class Counts:
        def submissions(self):
            return {}

        def fusions(self):
            return {FusionState.QUEUED: 3}

        def oldest_queued(self):
            return datetime.now(UTC) - timedelta(hours=1)

    class Transaction:
        counts = Counts()

    class Database:
        def read(self):
            from contextlib import nullcontext

            return nullcontext(Transaction())

    registry = CollectorRegistry()
    registry.register(DatabaseCounts(Database()))

    assert registry.get_sample_value("mos_queue_length") == 3
    assert registry.get_sample_value("mos_queue_oldest_seconds") >= 3600


def test_without_the_database_the_other_metrics_are_still_told() -> None:
    class Away:
        def read(self):
            raise Unavailable("The database is away.")

    registry = CollectorRegistry()
    registry.register(DatabaseCounts(Away()))
    Gauge("other", "Something else", registry=registry).set(1)

    assert registry.get_sample_value("other") == 1
    assert registry.get_sample_value("mos_queue_length") is None


def test_steps_are_measured_by_kind_not_by_block() -> None:
    def count(step: str) -> float:
        return REGISTRY.get_sample_value("mos_job_step_seconds_count", {"step": step}) or 0

    before = count("fuse")
    for name in ("fuse unet.mid_block", "fuse text_encoder"):
        with job_step(name):
            pass

    assert count("fuse") == before + 2
    assert JOB_STEP_SECONDS._labelnames == ("step",)


@pytest.fixture
def working() -> list[bool]:
    return [True]


@pytest.fixture
def probes(working: list[bool]):
    """The address of a listener whose process works as long as `working` says so."""
    registry = CollectorRegistry()
    Gauge("mos_example", "An example", registry=registry).set(7)

    def check() -> None:
        if not working[0]:
            raise Unavailable("The database is away.")

    with listening_for_probes("127.0.0.1", 0, registry, check) as port:
        yield f"http://127.0.0.1:{port}"


def test_a_process_is_ready_only_while_it_can_work(probes: str, working: list[bool]) -> None:
    assert httpx.get(f"{probes}/readyz").json() == {"status": "ready"}
    working[0] = False

    refused = httpx.get(f"{probes}/readyz")

    assert (refused.status_code, refused.json()["detail"]) == (503, "The database is away.")
    assert httpx.get(f"{probes}/healthz").status_code == 200
    assert httpx.head(f"{probes}/healthz").status_code == 200
    assert httpx.get(f"{probes}/etc/passwd").status_code == 404


def test_metrics_come_in_the_format_that_is_asked_for(probes: str) -> None:
    plain = httpx.get(f"{probes}/metrics")
    open_metrics = httpx.get(
        f"{probes}/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}
    )

    assert "mos_example 7.0" in plain.text
    assert plain.headers["content-type"].startswith("text/plain")
    assert open_metrics.text.endswith("# EOF\n")


def test_no_port_no_listener_and_a_taken_one_is_told(probes: str) -> None:
    with listening_for_probes("127.0.0.1", None, REGISTRY, lambda: None) as port:
        assert port is None
    taken = int(probes.rpartition(":")[2])
    with (
        pytest.raises(InvalidRequest, match=str(taken)),
        listening_for_probes("127.0.0.1", taken, REGISTRY, lambda: None),
    ):
        pass
