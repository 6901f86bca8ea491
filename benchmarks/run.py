"""Run the benchmarks and write `RESULTS.md`.

    python benchmarks/run.py                     everything, at full size
    python benchmarks/run.py --only fuse         one of them; the others stay as measured before
    python benchmarks/run.py --only fuse_sdxl    Stable Diffusion XL, which is not in everything
    python benchmarks/run.py --only protect      tuning on protected pictures, which isn't either
    python benchmarks/run.py --quick             everything at a tiny size, to see that it runs

Each runs in a process of its own. What it measured is kept in the work folder as JSON and text.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import machine
from measuring import DEFAULT_WORK, HERE

BENCHMARKS: Mapping[str, Sequence[str]] = {
    "fuse": ("fuse.py",),
    "fuse_sdxl": ("fuse.py", "--arch", "sdxl", "--concepts", "2", "--no-incremental"),
    "raw_lbfgs": ("raw_lbfgs.py",),
    "scaling": ("scaling.py",),
    "moments": ("moments.py",),
    "recording": ("recording.py",),
    "load": ("load.py",),
    "dashboard": ("dashboard.py",),
    "protect": ("protect.py",),
    "watermark": ("watermark.py",),
}
ON_THEIR_OWN = ("fuse_sdxl", "protect")
EVERYTHING = tuple(name for name in BENCHMARKS if name not in ON_THEIR_OWN)
_MARK = re.compile(r"^<!-- (\w+) -->\n", re.MULTILINE)
_WITH_FILES = ("fuse.py", "scaling.py", "protect.py")
RESULTS = HERE / "RESULTS.md"


def run(name: str, work: Path, quick: bool, threads: int) -> Path:
    """Run one benchmark; return the file of its section. Exits when it fails."""
    folder = work / ("quick" if quick else "results")
    folder.mkdir(parents=True, exist_ok=True)
    script, *options = BENCHMARKS[name]
    options += ["--quick"] if quick else []
    said = ["python", f"benchmarks/{script}", *options]
    options += ["--work", str(work)] if script in _WITH_FILES else []
    options += ["--json", str(folder / f"{name}.json")]
    command = [sys.executable, str(HERE / script), *options]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    print(f"{name} …", file=sys.stderr, flush=True)
    done = subprocess.run(command, env=environment, text=True, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        sys.exit(f"error: `{shlex.join(command)}` exited with {done.returncode}")
    stamp = f"{datetime.now(UTC):%Y-%m-%d}, `{' '.join(said)}`, {threads} threads"
    section = folder / f"{name}.md"
    section.write_text(f"{done.stdout.strip()}\n\n*{stamp}*\n", encoding="utf-8")
    return section


def measured_before(document: Path) -> dict[str, str]:
    """The sections that the document has, by benchmark."""
    if not document.is_file():
        return {}
    _, *parts = _MARK.split(document.read_text(encoding="utf-8"))
    return {name: text.strip() + "\n" for name, text in zip(parts[::2], parts[1::2], strict=True)}


def results(sections: Mapping[str, str]) -> str:
    """The whole document, with its sections in the order of `BENCHMARKS`."""
    head = (
        "# Benchmark results\n\n"
        "Written by `make bench`; [README.md](README.md) says what each figure means.\n\n"
        f"- Machine: {machine.hardware()}\n"
        f"- Versions: {machine.versions()}\n"
    )
    known = [name for name in BENCHMARKS if name in sections]
    return "\n".join([head, *(f"<!-- {name} -->\n{sections[name]}" for name in known)])


def main(argv: Sequence[str] | None = None) -> None:
    """Run what is asked for and write the document."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=BENCHMARKS, action="append")
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK, help="for models and packages")
    parser.add_argument("--out", type=Path, help="default: RESULTS.md, or WORK/quick/RESULTS.md")
    parser.add_argument("--threads", type=int, default=machine.cores())
    parser.add_argument("--quick", action="store_true", help="tiny sizes")
    given = parser.parse_args(argv)
    work = given.work.resolve()
    folder = work / ("quick" if given.quick else "results")
    out = given.out or (folder / "RESULTS.md" if given.quick else RESULTS)
    sections = measured_before(out)
    for name in given.only or EVERYTHING:
        section = run(name, work, given.quick, given.threads)
        sections[name] = section.read_text(encoding="utf-8")
        out.write_text(results(sections), encoding="utf-8")
    print(out)


if __name__ == "__main__":
    main()
