"""The running center: REST, gRPC and at most one worker in one process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from mos_protocol.errors import PermissionDenied, Unavailable

from mos_center.domain.access import SYSTEM
from mos_center.domain.ports import FusionQueue
from mos_center.opening import OpenedData
from mos_center.processes.listening import Addresses as Addresses
from mos_center.processes.listening import listening as listening
from mos_center.processes.watching import watched
from mos_center.processes.webhook_delivery import HttpSender, delivering
from mos_center.processes.working import new_worker, remote_queue
from mos_center.service.center import Center
from mos_center.settings import Settings

ADDRESS_FILE = "serving.json"
# Of gRPC calls and of those who follow something; REST has as many of its own.
THREADS = 40
SWITCH_SECONDS = 0.001


def check_protected(center: Center, settings: Settings) -> None:
    """Raise `PermissionDenied` when everyone who reaches this center could use it."""
    now = datetime.now(UTC)
    usable = [token for token in center.tokens.all(caller=SYSTEM) if token.is_usable(now)]
    if not settings.is_loopback and not usable:
        raise PermissionDenied(
            f"No token is configured, and {settings.host} can be reached from other machines.",
            hint="Run `mos-center token create NAME` first, or listen on 127.0.0.1.",
        )


async def serve(
    data: OpenedData, settings: Settings, on_ready: Callable[[Addresses], None]
) -> None:
    """Serve until SIGTERM or SIGINT; `on_ready` is called once calls are answered."""
    stopping = _stop_on_signals()
    # Calls that come back from the database or the store wait this long for those that compute.
    sys.setswitchinterval(SWITCH_SECONDS)
    # Python's own choice follows the number of cores, but these threads mostly wait.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS, "calls"))
    async with working(data, settings) as queue:
        center = data.center(queue, reduces=settings.worker)
        check_protected(center, settings)
        with (
            watched(settings, "api", partial(_check, center, stopping), data.database) as port,
            delivering(center.deliveries, HttpSender(settings.policy.webhooks)),
        ):
            async with listening(center, settings, stopping) as addresses:
                with _announced(settings.data / ADDRESS_FILE, addresses, port):
                    on_ready(addresses)
                    await stopping.wait()


def _check(center: Center, stopping: asyncio.Event) -> None:
    if stopping.is_set():
        raise Unavailable("The center is stopping.", hint="Try again.")
    center.health.check()


def _stop_on_signals() -> asyncio.Event:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop(number: signal.Signals) -> None:
        stopping.set()
        # A second one ends the process at once.
        loop.remove_signal_handler(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    return stopping


@asynccontextmanager
async def working(data: OpenedData, settings: Settings) -> AsyncIterator[FusionQueue | None]:
    """Run the worker inside the context, if the settings want one here; yield the jobs' queue."""
    if not settings.worker:
        with remote_queue(settings) as queue:
            yield queue
        return
    worker = new_worker(data, settings)
    await asyncio.to_thread(worker.start)
    try:
        yield worker
    finally:
        await asyncio.to_thread(worker.stop)


@contextmanager
def _announced(path: Path, addresses: Addresses, metrics_port: int | None) -> Iterator[None]:
    """Have the addresses in a file, complete or absent, while the center serves."""
    content = {
        "rest": addresses.rest,
        "grpc": addresses.grpc,
        "metrics_port": metrics_port,
        "pid": os.getpid(),
    }
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content))
    temporary.replace(path)
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
