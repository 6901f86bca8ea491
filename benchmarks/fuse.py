"""Fuse many full-size concepts from packages on disk: time by phase, peak memory, bytes.

Every fusion runs in a process of its own, on files that are not in the page cache. Then the
objectives of the solvers are compared layer by layer, and incremental fusions with fresh ones.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from fuse_once import fuse_once
from measuring import (
    DEFAULT_WORK,
    drop_from_cache,
    folder_bytes,
    megabytes,
    run_fresh,
    run_script,
    table,
    write_json,
)
from mos_diffusion.tensor_file import open_tensors
from workload import Workload, make_workload

SOLVERS = ("closed-form", "lbfgs")
TINY = {"sd15": "tiny", "sdxl": "tinyxl"}
# Objectives that differ by less than their own rounding are equal.
_ROUNDING = 1e-9
_PHASES = ("base", "check", "read", "solve", "measure", "write")

Figures = dict[str, Any]


class Fusions:
    """Fusions of one workload; of what they write, the delta and the report are kept.

    alone: each in a process of its own, without which its peak memory means nothing.
    """

    def __init__(self, workload: Workload, results: Path, alone: bool = True) -> None:
        self.workload = workload
        self.results = results
        self._fuse = _in_fresh_process if alone else fuse_once
        shutil.rmtree(results, ignore_errors=True)
        results.mkdir(parents=True)

    def run(
        self,
        name: str,
        packages: Sequence[Path],
        solver: str = "closed-form",
        sums: Path | None = None,
        withdrawn: Sequence[Path] = (),
    ) -> Figures:
        """Fuse cold; `delta(name)` and `report(name)` are there afterwards."""
        drop_from_cache([self.workload.base, *packages, *withdrawn, *([sums] if sums else [])])
        out = self.results / name
        figures = self._fuse(self.workload.base, packages, out, solver, sums, withdrawn)
        figures["package_bytes"] = sum(map(folder_bytes, packages))
        figures["delta_bytes"] = self.delta(name).stat().st_size
        figures["model_bytes"] = folder_bytes(out)
        for path in out.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
        return figures

    def delta(self, name: str) -> Path:
        return self.results / name / "delta.safetensors"

    def report(self, name: str) -> Figures:
        report: Figures = json.loads((self.results / name / "report.json").read_text())
        return report


def _in_fresh_process(
    base: Path,
    packages: Sequence[Path],
    out: Path,
    solver: str,
    sums: Path | None,
    withdrawn: Sequence[Path],
) -> Figures:
    options: list[object] = ["--solver", solver, "--out", out]
    options += [] if sums is None else ["--sums", sums]
    for folder in withdrawn:
        options += ["--withdrawn", folder]
    return run_fresh("fuse_once.py", base, *packages, *options)


def order_of_objectives(reports: dict[str, Figures]) -> Figures:
    """Check f(closed form) ≤ f(lbfgs) ≤ f(average) in every layer, and list exceptions.

    What is measured is the remaining squared error relative to the base's.
    """
    residuals = {
        solver: {layer["layer"]: layer["residual"] for layer in report["layers"]}
        for solver, report in reports.items()
    }
    exceptions = []
    for name, best in residuals["closed-form"].items():
        steps = residuals["lbfgs"][name]
        chain = [best["result"], steps["result"], best["average"]]
        if any(low > high + _ROUNDING for low, high in pairwise(chain)):
            exceptions.append({"layer": name, "residuals": chain})
    return {"layers": len(residuals["closed-form"]), "exceptions": exceptions}


def largest_difference(first: Path, second: Path) -> float:
    """max over layers of ‖D − D′‖ / ‖D′‖ between two deltas, in fp64."""
    with open_tensors(first) as one, open_tensors(second) as other:
        layers = [name.removesuffix(".up") for name in other if name.endswith(".up")]
        if set(one) != set(other):
            return float("inf")
        worst = 0.0
        for layer in layers:
            here, there = (
                tensors[f"{layer}.up"].double() @ tensors[f"{layer}.down"].double()
                for tensors in (one, other)
            )
            worst = max(worst, float((here - there).norm() / there.norm()))
        return worst


def measure(fusions: Fusions, incremental: bool) -> Figures:
    """All fusions of a workload; of incremental ones, the last package is what is added."""
    packages = fusions.workload.packages
    packages = packages[: len(packages) - incremental]
    fresh = [fusions.run(solver, packages, solver) for solver in SOLVERS]
    order = order_of_objectives({solver: fusions.report(solver) for solver in SOLVERS})
    return {
        "fresh": fresh,
        "order": order,
        "parts": {solver: fusions.report(solver)["parts"] for solver in SOLVERS},
        "incremental": list(_incremental(fusions)) if incremental else [],
    }


def _incremental(fusions: Fusions) -> Iterator[Figures]:
    """Start from cached sums: one concept more, then one of the others less."""
    workload, sums = fusions.workload, fusions.results / "sums"
    packages = list(workload.packages)
    first, more, less = packages[:-1], packages, packages[1:]
    yield {"step": "first, sums kept", **fusions.run("first", first, sums=sums)}
    yield {"step": "one more, fresh", **fusions.run("more", more)}
    added = fusions.run("added", more, sums=sums)
    difference = largest_difference(fusions.delta("added"), fusions.delta("more"))
    yield {"step": "one more, from sums", **added, "difference": difference}
    yield {"step": "one less, fresh", **fusions.run("less", less)}
    withdrawn = fusions.run("withdrawn", less, sums=sums, withdrawn=packages[:1])
    difference = largest_difference(fusions.delta("withdrawn"), fusions.delta("less"))
    yield {"step": "one less, from sums", **withdrawn, "difference": difference}
    yield {"step": "sums on disk", "sums_bytes": folder_bytes(sums)}


def main(argv: Sequence[str] | None = None) -> None:
    """Print the figures as a markdown section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK)
    parser.add_argument("--json", type=Path, help="also write the figures there")
    parser.add_argument("--arch", choices=TINY, default="sd15")
    parser.add_argument("--concepts", type=int, default=14)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--incremental", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--quick", action="store_true", help="tiny shapes, to see that it runs")
    given = parser.parse_args(argv)
    arch, concepts = (TINY[given.arch], 3) if given.quick else (given.arch, given.concepts)
    jobs, count = (1 if given.quick else 2), concepts + given.incremental
    workload = make_workload(given.work / arch, arch, count, given.seed, jobs=jobs)
    fusions = Fusions(workload, given.work / f"{arch}-fusions", alone=not given.quick)
    figures = {"arch": arch, **measure(fusions, given.incremental)}
    print(_section(figures))
    write_json(given.json, figures)


def _section(figures: Figures) -> str:
    fresh = figures["fresh"]
    head = ["", *(f"{run['solver']}" for run in fresh)]
    rows = [
        ["to the published delta, s", *(f"{_to_delta(run):.1f}" for run in fresh)],
        ["to the full checkpoint, s", *(f"{run['wall']:.1f}" for run in fresh)],
        *(
            [f"– {name}, s", *(f"{run['seconds'].get(name, 0):.2f}" for run in fresh)]
            for name in _PHASES
        ),
        ["loading libraries before, s", *(f"{run['imports']:.1f}" for run in fresh)],
        ["peak memory, MB", *(megabytes(run["peak"]["resident"]) for run in fresh)],
        ["– without mapped files, MB", *(megabytes(run["peak"]["anonymous"]) for run in fresh)],
        ["packages, MB", *(megabytes(run["package_bytes"]) for run in fresh)],
        ["delta, MB", *(megabytes(run["delta_bytes"]) for run in fresh)],
        ["checkpoint, MB", *(megabytes(run["model_bytes"]) for run in fresh)],
    ]
    concepts = fresh[0]["concepts"]
    title = f"## Fusing {concepts} concepts, {figures['arch']}"
    texts = [title, table(head, rows), _order_text(figures)]
    if figures["incremental"]:
        texts.append(_incremental_text(figures["incremental"]))
    return "\n\n".join(texts) + "\n"


def _to_delta(run: Figures) -> float:
    """Seconds until the delta can be published: the blocks are fused; a copy of them is left."""
    seconds: float = run["fused"]
    return seconds


def _order_text(figures: Figures) -> str:
    rows = []
    for part, own in figures["parts"]["closed-form"].items():
        steps = figures["parts"]["lbfgs"][part]["residual"]["result"]
        residual = own["residual"]
        cells = [residual["result"], steps, residual["average"]]
        rows.append([part, own["layers"], *(f"{value:.4f}" for value in cells)])
    order = figures["order"]
    wrong = order["exceptions"]
    lines = [
        "Squared error that is left, relative to the base's:",
        "",
        table(["part", "layers", "closed-form", "lbfgs", "average"], rows),
        "",
        f"Layers with closed-form ≤ lbfgs ≤ average: {order['layers'] - len(wrong)} "
        f"of {order['layers']}.",
    ]
    listed = (
        f"- {item['layer']}: {', '.join(f'{value:.9g}' for value in item['residuals'])}"
        for item in wrong
    )
    return "\n".join([*lines, *listed])


def _incremental_text(runs: Sequence[Figures]) -> str:
    rows = []
    for run in runs[:-1]:
        difference = f"{run['difference']:.1e}" if "difference" in run else ""
        phases = (f"{run['seconds'].get(name, 0):.2f}" for name in ("check", "read", "solve"))
        cells = [run["concepts"], run["reused"], f"{_to_delta(run):.1f}", *phases, difference]
        rows.append([run["step"], *cells])
    head = ["step", "concepts", "not read", "to the delta, s", "check, s", "read, s", "solve, s"]
    head.append("largest relative difference to fresh")
    sums = megabytes(runs[-1]["sums_bytes"])
    return f"{table(head, rows)}\n\nSums on disk, three sets: {sums} MB."


if __name__ == "__main__":
    run_script(main)
