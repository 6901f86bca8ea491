"""Every metric of a center's processes. docs/metrics.md describes them; a test compares.

Labels take few values: templates of paths, never paths; never names of members or models.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

# Our own, so that nothing is measured that is not written down.
REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

_CALL_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120)
_STEP_SECONDS = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)

BUILD = Gauge("mos_build_info", "Always 1; what runs", ["version", "role"], registry=REGISTRY)
HTTP_REQUESTS = Counter(
    "mos_http_requests", "HTTP requests", ["method", "route", "status"], registry=REGISTRY
)
HTTP_SECONDS = Histogram(
    "mos_http_request_seconds",
    "Seconds until an HTTP answer was sent, its body included",
    ["method", "route"],
    buckets=_CALL_SECONDS,
    registry=REGISTRY,
)
RPC_CALLS = Counter("mos_rpc_calls", "gRPC calls", ["method", "code"], registry=REGISTRY)
RPC_SECONDS = Histogram(
    "mos_rpc_seconds",
    "Seconds until a gRPC call ended",
    ["method"],
    buckets=_CALL_SECONDS,
    registry=REGISTRY,
)
IN_FLIGHT = Gauge("mos_calls_in_flight", "Calls being answered", ["kind"], registry=REGISTRY)
UPLOADED_BYTES = Counter(
    "mos_uploaded_bytes", "Bytes of package files that came in over gRPC", registry=REGISTRY
)
JOB_STEP_SECONDS = Histogram(
    "mos_job_step_seconds",
    "Seconds that a step of a fusion took",
    ["step"],
    buckets=_STEP_SECONDS,
    registry=REGISTRY,
)
JOBS = Counter("mos_jobs", "Fusions that a worker ended", ["outcome"], registry=REGISTRY)
JOB_RETRIES = Counter("mos_job_retries", "Steps of fusions tried again", registry=REGISTRY)
DELIVERIES = Counter(
    "mos_webhook_deliveries", "Attempts to deliver a webhook", ["outcome"], registry=REGISTRY
)


@contextmanager
def in_flight(kind: str) -> Iterator[None]:
    """Count a call of this kind (`http` or `rpc`) as being answered."""
    gauge = IN_FLIGHT.labels(kind)
    gauge.inc()
    try:
        yield
    finally:
        gauge.dec()


@contextmanager
def job_step(name: str) -> Iterator[None]:
    """Measure a step of a fusion; of `fuse unet.mid_block` only `fuse` is kept."""
    began = monotonic()
    try:
        yield
    finally:
        kind = "fuse" if name.startswith("fuse ") else name
        JOB_STEP_SECONDS.labels(kind).observe(monotonic() - began)


def tell_build(version: str, role: str) -> None:
    """Say what this process is."""
    BUILD.labels(version, role).set(1)
