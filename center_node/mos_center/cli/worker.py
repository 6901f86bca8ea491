"""`mos-center worker`."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import Annotated

import typer
from rich.markup import escape

from mos_center.cli.edge import console
from mos_center.cli.options import Data
from mos_center.opening import opened
from mos_center.settings import load_settings
from mos_center.telemetry.logs import configure_logs


def worker(
    data: Data = None,
    gpu: Annotated[
        int | None, typer.Option(min=0, help="Number of the GPU to compute on (MOS_DEVICE=cuda:N)")
    ] = None,
    executor: Annotated[
        str | None,
        typer.Option(help="Name of this worker's slot (MOS_EXECUTOR)  [default: host and device]"),
    ] = None,
) -> None:
    """Run fusions and validations, without an API: one process per GPU, on any host.

    Several workers need PostgreSQL (MOS_DATABASE_URL). SIGTERM lets the running step end.
    """
    # They import torch, which other commands do without.
    from mos_center.processes.watching import watched
    from mos_center.processes.working import new_worker

    device = None if gpu is None else f"cuda:{gpu}"
    settings = load_settings(os.environ, data=data, device=device, executor=executor)
    configure_logs(settings.log_level, settings.log_format, "worker")
    with opened(settings) as found:
        running = new_worker(found, settings)
        _end_on_signals(running.end)
        with watched(settings, "worker", running.check) as port:
            running.start()
            try:
                told = f"  metrics {port}" if port else ""
                console.print(f"worker {escape(running.name)}{told}", soft_wrap=True)
                running.wait()
            finally:
                running.stop()


def _end_on_signals(end: Callable[[], None]) -> None:
    def stop(number: int, frame: FrameType | None) -> None:
        end()
        # A second one ends the process at once.
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
