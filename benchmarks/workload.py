"""Make a full-size base model and concept packages for it, without any download.

    python benchmarks/workload.py --arch sd15 --concepts 14 --out benchmarks/.work/sd15

Everything follows from the seed. What is there already, made with the same parameters, is kept:
asking for more concepts adds them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from architectures import ARCHITECTURES
from measuring import BenchmarkError, run_script
from mos_diffusion.base_folder import read_layer_map
from mos_protocol.manifest import MANIFEST_FILE
from mos_protocol.moments import MOMENTS_FORMAT
from mos_protocol.tensors import CONCEPT_FORMAT
from random_base import write_base
from random_concepts import write_packages

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}
# Raised when the drawn values change, so that folders of before are not taken for new ones.
_GENERATION = 1
_PARAMETERS_FILE = "workload.json"


@dataclass(frozen=True)
class Workload:
    """A base folder and its packages, in order."""

    base: Path
    packages: tuple[Path, ...]


def make_workload(
    out: Path, arch: str, concepts: int, seed: int = 0, dtype: str = "float16", jobs: int = 2
) -> Workload:
    """Make, or complete, the workload in `out`; progress goes to standard error.

    Raises `BenchmarkError` when `out` holds one of other parameters.
    """
    parameters = {
        "arch": arch,
        "seed": seed,
        "dtype": dtype,
        "formats": [CONCEPT_FORMAT, MOMENTS_FORMAT],
        "generation": _GENERATION,
    }
    _check_parameters(out, parameters)
    base = out / "base"
    if not base.is_dir():
        partial = out / "base.partial"
        shutil.rmtree(partial, ignore_errors=True)
        _say(f"writing a base of {arch}'s shapes")
        write_base(ARCHITECTURES[arch], partial, DTYPES[dtype], seed)
        partial.rename(base)
    packages = [out / "concepts" / f"concept{number}" for number in range(concepts)]
    missing = [
        (number, folder)
        for number, folder in enumerate(packages)
        if not (folder / MANIFEST_FILE).is_file()
    ]
    if missing:
        _say(f"writing {len(missing)} packages")
        layers = read_layer_map(base)
        started = time.monotonic()
        write_packages(
            layers,
            f"bench-{arch}",
            missing,
            seed,
            jobs,
            lambda block: _say(f"  {block} ({time.monotonic() - started:.0f} s)"),
        )
    return Workload(base, tuple(packages))


def main(argv: Sequence[str] | None = None) -> None:
    """Make a workload and say where it is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--arch", choices=ARCHITECTURES, default="sd15")
    parser.add_argument("--concepts", type=int, default=14)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dtype", choices=DTYPES, default="float16", help="of the base's weights")
    parser.add_argument("--jobs", type=int, default=2, help="processes that encode moments")
    given = parser.parse_args(argv)
    made = make_workload(given.out, given.arch, given.concepts, given.seed, given.dtype, given.jobs)
    print(f"base      {made.base}")
    for package in made.packages:
        print(f"package   {package}")


def _check_parameters(out: Path, parameters: dict[str, object]) -> None:
    path = out / _PARAMETERS_FILE
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))
        if found != parameters:
            raise BenchmarkError(
                f"{out} holds a workload of {found}; expected {parameters}. "
                "Remove it or choose another folder."
            )
        return
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(parameters, indent=2) + "\n", encoding="utf-8")


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    run_script(main)
