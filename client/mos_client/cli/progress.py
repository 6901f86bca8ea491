"""Progress on stderr: a bar in a terminal, a line now and then anywhere else."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from mos_client.cli.tables import printable, size

if TYPE_CHECKING:
    from mos_client.session import TransferProgress

QUIET_SECONDS = 10.0


class ProgressLine:
    """One line of progress; a context manager. `update` takes what is done, the whole, a text."""

    def __init__(self, title: str, stream: TextIO | None = None) -> None:
        self._title = title
        self._stream = stream or sys.stderr
        self._bar = _Bar(title, self._stream) if self._stream.isatty() else None
        self._untold = ""
        self._told = float("-inf")

    def update(self, done: float, total: float, text: str = "") -> None:
        """Show the state; off a terminal at most every ten seconds."""
        if self._bar:
            self._bar.update(done, total, text)
            return
        line = f"{self._title}: {_percent(done, total)} {printable(text)}".rstrip()
        self._untold = line
        now = time.monotonic()
        if now - self._told >= QUIET_SECONDS:
            self._tell(line, now)

    def transfer(self, progress: TransferProgress) -> None:
        """Show how far an upload or download is."""
        text = f"{size(progress.done)} of {size(progress.total)}"
        self.update(progress.done, max(progress.total, 1), f"{text}  {progress.path}")

    def say(self, message: str) -> None:
        """Print a message that stays, above the bar if there is one."""
        if self._bar:
            self._bar.say(message)
            return
        if self._untold:
            self._tell(self._untold, time.monotonic())
        print(printable(message), file=self._stream, flush=True)

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()
        elif self._untold:
            self._tell(self._untold, time.monotonic())

    def _tell(self, line: str, now: float) -> None:
        print(line, file=self._stream, flush=True)
        self._told, self._untold = now, ""


class _Bar:
    """The terminal's bar; rich is only imported when there is a terminal."""

    def __init__(self, title: str, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[text]}", markup=False),
            console=Console(file=stream),
        )
        self._task = self._progress.add_task(title, total=None, text="")

    def start(self) -> None:
        self._progress.start()

    def stop(self) -> None:
        self._progress.stop()

    def update(self, done: float, total: float, text: str) -> None:
        self._progress.update(self._task, completed=done, total=total, text=printable(text))

    def say(self, message: str) -> None:
        self._progress.console.print(printable(message), markup=False, highlight=False)


def _percent(done: float, total: float) -> str:
    return f"{100 * done / total:3.0f} %" if total else "     "
