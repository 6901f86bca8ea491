"""How the cost of fusing one layer input grows with the number of concepts and the width."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from measuring import DEFAULT_WORK, HERE, megabytes, run_fresh, run_script, table, write_json

COUNTS = tuple(2**power for power in range(8))
WIDTHS = (320, 640, 1280)
_PLOT = HERE / "plots" / "scaling.png"
_SERIES = {"read": "read", "closed-form": "solve, closed form", "lbfgs": "solve, lbfgs"}
# Hues that stay apart for colour-blind readers, and shades for what has an order.
_COLOURS = ("#2a78d6", "#eb6834", "#1baf7a")
_SHADES = ("#86b6ef", "#2a78d6", "#104281")

Figures = dict[str, Any]


def measure(work: Path, widths: Sequence[int], counts: Sequence[int], seed: int) -> list[Figures]:
    """A process per width that writes the files, and a fresh one that fuses them."""
    found = []
    for width in widths:
        arguments = (width, *counts, "--folder", work / "scaling", "--seed", seed)
        run_fresh("scaling_once.py", *arguments, "--prepare")
        found.append(run_fresh("scaling_once.py", *arguments))
    return found


def draw(runs: Sequence[Figures], path: Path) -> None:
    """One panel of seconds per width, and one of memory; both axes by powers of two and ten."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(runs) + 1, figsize=(3.6 * (len(runs) + 1), 3.6))
    for panel, run in zip(panels, runs, strict=False):
        counts = [row["concepts"] for row in run["rows"]]
        for (key, label), colour in zip(_SERIES.items(), _COLOURS, strict=True):
            seconds = [row[key] for row in run["rows"]]
            panel.plot(counts, seconds, marker="o", color=colour, label=label)
        panel.set(title=f"width {run['width']}", ylabel="seconds", yscale="log")
    for run, colour in zip(runs, _SHADES, strict=False):
        counts = [row["concepts"] for row in run["rows"]]
        memory = [row["memory"] / 1e6 for row in run["rows"]]
        panels[-1].plot(counts, memory, marker="o", color=colour, label=f"width {run['width']}")
    panels[-1].set(title="peak memory", ylabel="MB above the start")
    for panel in panels:
        panel.set_xscale("log", base=2)
        panel.xaxis.set_major_formatter("{x:g}")
        panel.set(xlabel="concepts")
        panel.grid(color="#e6e6e3", linewidth=0.6)
        panel.spines[["top", "right"]].set_visible(False)
        panel.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130, metadata={"Software": None})
    plt.close(figure)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the figures as a markdown section, and draw them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK)
    parser.add_argument("--json", type=Path, help="also write the figures there")
    parser.add_argument("--plot", type=Path, help="where to draw  [default: benchmarks/plots]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="tiny widths, to see that it runs")
    given = parser.parse_args(argv)
    widths, counts = ((32,), (1, 2, 4)) if given.quick else (WIDTHS, COUNTS)
    runs = measure(given.work, widths, counts, given.seed)
    plot = given.plot or (given.work / "scaling.png" if given.quick else _PLOT)
    draw(runs, plot)
    print(_section(runs, plot))
    write_json(given.json, {"widths": runs})


def _section(runs: Sequence[Figures], plot: Path) -> str:
    head = ["width", "concepts", "read, s", "closed-form, s", "lbfgs, s", "memory, MB"]
    rows = [
        [
            run["width"],
            row["concepts"],
            *(f"{row[key]:.3g}" for key in _SERIES),
            *(megabytes(row[key]) for key in ("memory", "read_bytes", "delta_bytes")),
        ]
        for run in runs
        for row in run["rows"]
    ]
    picture = f"![How cost grows]({plot.relative_to(HERE)})\n\n" if HERE in plot.parents else ""
    return (
        "## How cost grows with concepts and width\n\n"
        "One input that feeds q, k and v. Reading includes decoding and adding up; memory is the "
        "peak above what the process had before. One concept alone needs no solving.\n\n"
        + picture
        + table([*head, "read, MB", "delta, MB"], rows)
        + "\n"
    )


if __name__ == "__main__":
    run_script(main)
