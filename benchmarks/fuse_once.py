"""Fuse packages once and print, as one line of JSON, what it took.

Run in a fresh process by `fuse.py`, so that its peak memory is that of this fusion.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from measuring import PeakMemory, resident_peak


def fuse_once(
    base: Path,
    packages: Sequence[Path],
    out: Path,
    solver: str,
    sums: Path | None = None,
    withdrawn: Sequence[Path] = (),
) -> dict[str, Any]:
    """Fuse into `out`; return seconds by phase and on the clock, and bytes of memory."""
    started = time.perf_counter()
    from mos_center.fusion.local import fuse_local
    from mos_center.fusion.settings import FusionSettings, Solver
    from mos_protocol.part_weights import PartWeights

    imported = time.perf_counter()
    before = resident_peak()
    events: dict[str, float] = {}

    def on_progress(done: int, total: int, message: str) -> None:
        events[message] = time.perf_counter() - imported

    with PeakMemory() as memory:
        report = fuse_local(
            base,
            [(folder, PartWeights()) for folder in packages],
            FusionSettings(Solver(solver)),
            out,
            on_progress=on_progress,
            sums=sums,
            withdrawn=withdrawn,
        )
    return {
        "solver": solver,
        "concepts": len(packages),
        "wall": time.perf_counter() - imported,
        "fused": events["writing the model"],
        "imports": imported - started,
        "seconds": report["seconds"],
        "reused": report["reused"],
        "peak": memory.to_json(),
        "peak_before": before,
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Fuse, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", type=Path)
    parser.add_argument("packages", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--solver", default="closed-form")
    parser.add_argument("--sums", type=Path)
    parser.add_argument("--withdrawn", type=Path, action="append", default=[])
    print(json.dumps(fuse_once(**vars(parser.parse_args(argv)))))


if __name__ == "__main__":
    main()
