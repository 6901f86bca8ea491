"""What the benchmarks share: fresh processes, peak memory, cold files, and markdown tables.

Nothing here imports torch: the process that measures another stays small.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
DEFAULT_WORK = HERE / ".work"
_STATUS = Path("/proc/self/status")


class BenchmarkError(Exception):
    """A measured process failed, or there is nothing to measure on."""


class PeakMemory:
    """The largest memory of this process: all of it, and the part that is not mapped files.

    The kernel knows the first; the second is looked at ten times a second.
    """

    def __init__(self) -> None:
        self._done = threading.Event()
        self._own = 0
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._watcher.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._watcher.join()

    def to_json(self) -> dict[str, int]:
        """Bytes: `resident`, and `anonymous` where the system tells (0 elsewhere)."""
        return {"resident": resident_peak(), "anonymous": self._own}

    def _watch(self) -> None:
        while True:
            self._own = max(self._own, _status().get("RssAnon", 0))
            if self._done.wait(0.1):
                return


def resident_peak() -> int:
    """Peak resident bytes of this process."""
    # Linux counts what the parent had before exec into ru_maxrss, but not into VmHWM.
    known = _status().get("VmHWM")
    if known is not None:
        return known
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def run_fresh(script: str, *arguments: object, threads: int | None = None) -> dict[str, Any]:
    """Run a script of this folder in a new process; return the JSON of its last line.

    Raises `BenchmarkError` with what it said when it fails.
    """
    environment = dict(os.environ)
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    command = [sys.executable, str(HERE / script), *map(str, arguments)]
    done = subprocess.run(command, env=environment, text=True, capture_output=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"{' '.join(command)} exited with {done.returncode}\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def run_script(main: Callable[[], None]) -> None:
    """Run a script's `main`; a `BenchmarkError` ends it with a sentence, not a trace."""
    try:
        main()
    except BenchmarkError as error:
        sys.exit(f"error: {error}")


def drop_from_cache(folders: Iterable[Path]) -> None:
    """Make the next read of these folders' files a read from disk, where the system allows it."""
    if not hasattr(os, "posix_fadvise"):
        return
    for path in (path for folder in folders for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            # What is not on disk yet can't be dropped.
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A markdown table; the first column is text, the others are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in lines)


def megabytes(count: float) -> str:
    """Bytes as MB, to three digits at least."""
    return f"{count / 1e6:.3g}" if count < 1e8 else f"{count / 1e6:.0f}"


def write_json(path: Path | None, result: Mapping[str, object]) -> None:
    """Write a benchmark's figures where `--json` asks for them."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def _status() -> dict[str, int]:
    """Bytes of every size in the process's status; empty where there is none."""
    if not _STATUS.is_file():
        return {}
    sizes = {}
    for line in _STATUS.read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if value.endswith(" kB"):
            sizes[name] = 1024 * int(value.removesuffix(" kB"))
    return sizes
