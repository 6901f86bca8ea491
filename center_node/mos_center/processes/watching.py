"""What an operator watches of a process: metrics and health on a port of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version

from mos_center.domain.ports import Database
from mos_center.settings import Settings
from mos_center.telemetry.counts import DatabaseCounts
from mos_center.telemetry.listener import listening_for_probes
from mos_center.telemetry.metrics import REGISTRY, tell_build

DISTRIBUTION = "mos-federation"


@contextmanager
def watched(
    settings: Settings, role: str, check: Callable[[], None], database: Database | None = None
) -> Iterator[int | None]:
    """Serve metrics and health inside the context, if the settings want it; yield the port.

    `check` raises a `MosError` while the process can't work. With a `database`, what it counts is
    told too: by API processes, so that it is not told once more by every worker.
    """
    tell_build(version(DISTRIBUTION), role)
    counts = DatabaseCounts(database) if database is not None else None
    if counts is not None:
        REGISTRY.register(counts)
    try:
        with listening_for_probes(settings.host, settings.metrics_port, REGISTRY, check) as port:
            yield port
    finally:
        if counts is not None:
            REGISTRY.unregister(counts)
