"""How small second moments can be stored before fused results suffer.

Moments of several concepts are stored and read back, fused, and the result judged by the exact
moments: how much of the base model's error, f(W₀), it is worse than a fusion of exact ones. Bytes
are scaled to a concept of Stable Diffusion 1.5, as if all of its layers were of the kind at hand.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from measuring import HERE, table, write_json
from moment_cases import CASES, pixels, prompts, tinyworld_moments
from mos_center.fusion.problem import gather
from mos_center.fusion.settings import FusionSettings, Solver
from mos_center.fusion.solvers import solve
from mos_center.fusion.sums import ConceptUpdate, InputSums
from mos_diffusion.adapters import LoraFactors
from mos_diffusion.coded_moment import CodedMoment, decode_moment
from mos_diffusion.moment_coding import encode_moment
from mos_diffusion.moments import ACCURACY, Moments
from mos_protocol.layer_map import Linear, Part
from other_encodings import OTHERS, Encoding, coded
from random_concepts import random_factors
from torch import Tensor

ACCURACIES = (2e-3, 5e-4, ACCURACY, 5e-5)
# Width → distinct layer inputs of that width in Stable Diffusion 1.5.
SD15_INPUTS = {320: 20, 640: 20, 768: 40, 1280: 24}
NUMBERS = sum(count * width * (width + 1) // 2 for width, count in SD15_INPUTS.items())
SOLVERS = {"closed form": Solver.CLOSED_FORM, "lbfgs": Solver.LBFGS}
PLOT = HERE / "plots" / "moments.png"
GOAL_MB, LIMIT_MB, LIMIT_PERCENT = 32.0, 64.0, 0.1
_DEFAULT = f"coded, {ACCURACY:g}"

Figures = dict[str, Any]
Stored = Mapping[str, Sequence[tuple[Tensor, int]]]


def main(argv: Sequence[str] | None = None) -> None:
    """Print the comparison as a markdown section, and draw it; a quick one only where asked."""
    parser = argparse.ArgumentParser(description="Bytes of moments against fused results.")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    parser.add_argument("--plot", type=Path, default=PLOT, help="where the plot goes")
    parser.add_argument("--width", type=int, default=320, help="of the layers that are fused")
    parser.add_argument("--concepts", type=int, nargs="*", default=[2, 4, 14])
    parser.add_argument("--quick", action="store_true", help="tiny layers, to see that it runs")
    given = parser.parse_args(argv)
    result = measure(
        width=48 if given.quick else given.width,
        counts=[2] if given.quick else given.concepts,
        widths=[48] if given.quick else list(SD15_INPUTS),
        real=[] if given.quick else tinyworld_moments(),
    )
    print(section(result))
    write_json(given.json, result)
    if given.plot != PLOT or not given.quick:
        draw(result["encodings"], given.plot)


def measure(
    width: int, counts: Sequence[int], widths: Sequence[int], real: Sequence[Moments]
) -> Figures:
    """All figures: per encoding and case, per width, and for real moments of several concepts."""
    encodings = encodings_of(ACCURACIES)
    rows = []
    for name, case in CASES.items():
        grams = [case(width, number) for number in range(max(counts))]
        stored = read_back(grams, encodings)
        rows += [compare(name, grams[:count], stored) for count in counts]
    for grams in _by_input(real)[::3]:
        stored = read_back(grams, {_DEFAULT: encodings[_DEFAULT]})
        rows.append(compare("tinyworld", grams, stored))
    kinds = dict.fromkeys(row["case"] for row in rows)
    return {
        "width": width,
        "concepts": list(counts),
        "accuracy": ACCURACY,
        "encodings": [_summary(name, rows) for name in encodings],
        "cases": [_case(name, rows) for name in kinds],
        "widths": [at_width(each) for each in widths],
    }


def encodings_of(accuracies: Sequence[float]) -> dict[str, Encoding]:
    """The coding at every accuracy, and the others."""
    ours = {f"coded, {accuracy:g}": partial(coded, accuracy=accuracy) for accuracy in accuracies}
    return ours | OTHERS


def read_back(grams: Sequence[Tensor], encodings: Mapping[str, Encoding]) -> Stored:
    """Every moment as every encoding gives it back, and its bytes."""
    return {name: [store(gram) for gram in grams] for name, store in encodings.items()}


def compare(case: str, grams: Sequence[Tensor], stored: Stored) -> Figures:
    """Per encoding: MB for a concept of SD 1.5, and percent of f(W₀) lost by each solver.

    The first moments that were stored are those of `grams`.
    """
    width = len(grams[0])
    layer = Linear(
        name="unet.a.to_q", input="unet.a.in", part=Part.SPATIAL, d_in=width, d_out=width
    )
    factors = [random_factors(layer, 0, number) for number in range(len(grams))]
    start = squared_error(grams, factors, torch.zeros(width, width).double())
    exact = {
        name: squared_error(grams, factors, fused(layer, grams, factors, solver))
        for name, solver in SOLVERS.items()
    }
    figures = {}
    for encoding, everything in stored.items():
        read = [matrix for matrix, _ in everything[: len(grams)]]
        size = sum(count for _, count in everything[: len(grams)]) / len(grams)
        figures[encoding] = {"megabytes": size / (width * (width + 1) / 2) * NUMBERS / 1e6}
        for name, solver in SOLVERS.items():
            found = squared_error(grams, factors, fused(layer, read, factors, solver))
            figures[encoding][name] = 100 * (found - exact[name]) / start
    return {"case": case, "concepts": len(grams), "width": width, "encodings": figures}


def fused(
    layer: Linear, grams: Sequence[Tensor], factors: Sequence[LoraFactors], solver: Solver
) -> Tensor:
    """D (d, d) fp64 that the solver finds, with its default settings."""
    updates = {
        str(i): ConceptUpdate(str(i), 1.0, {layer.name: own}) for i, own in enumerate(factors)
    }
    sums = InputSums.empty(layer.d_in, grams[0].device)
    for (key, update), gram in zip(updates.items(), grams, strict=True):
        sums.add(key, update, gram)
    problem = gather([layer], updates, sums)
    return problem.layers[0].basis @ solve(problem, FusionSettings(solver)).reduced[0]


def squared_error(grams: Sequence[Tensor], factors: Sequence[LoraFactors], delta: Tensor) -> float:
    """Σᵢ tr((ΔWᵢ − D) Gᵢ (ΔWᵢ − D)ᵀ)."""
    error = 0.0
    for gram, own in zip(grams, factors, strict=True):
        missing = own.up.double() @ own.down.double() - delta
        error += float(((missing @ gram) * missing).sum())
    return error


def at_width(width: int) -> Figures:
    """Bytes per number and times of one input of this width, on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found: Figures = {"width": width}
        for name, case in {"pixels": pixels, "prompts": prompts}.items():
            gram = case(width, 0)
            started = time.thread_time()
            code = encode_moment(gram, ACCURACY)
            found[name] = {
                "encode_seconds": time.thread_time() - started,
                "decode_seconds": min(_decoding(code) for _ in range(5)),
                "bytes": code.nbytes,
                "columns": len(code.factor_scale),
            }
        return found
    finally:
        torch.set_num_threads(before)


def section(result: Figures) -> str:
    """The figures as markdown."""
    encodings = [
        (
            row["encoding"],
            f"{row['megabytes']:.1f}",
            f"{row['largest_megabytes']:.1f}",
            *(f"{row[name]:.4f}" for name in SOLVERS),
        )
        for row in result["encodings"]
    ]
    cases = [
        (row["case"], f"{row['megabytes']:.1f}", *(f"{row[name]:.4f}" for name in SOLVERS))
        for row in result["cases"]
    ]
    widths = [
        (
            f"{row['width']}, {name}",
            f"{row[name]['bytes'] / 1e3:.0f}",
            row[name]["columns"],
            f"{row[name]['encode_seconds']:.2f}",
            f"{1e3 * row[name]['decode_seconds']:.1f}",
        )
        for row in result["widths"]
        for name in ("pixels", "prompts")
    ]
    worst = [f"worst, {name} (%)" for name in SOLVERS]
    return "\n\n".join(
        [
            "## Moments: bytes against fused results",
            f"Fusions of {', '.join(map(str, result['concepts']))} concepts at width "
            f"{result['width']} over {len(CASES)} kinds of spectra, and of every third layer input "
            "of a small trained model. Worst: how much of f(W₀) any fused layer is worse than by "
            "exact moments. Megabytes are per concept of Stable Diffusion 1.5.",
            table(["encoding", "MB, mean", "MB, largest", *worst], encodings),
            f"Coded with the default accuracy {result['accuracy']:g}, by spectrum:",
            table(["spectrum", "MB", *worst], cases),
            "One input, on one thread (processor time):",
            table(["width, spectrum", "kB", "columns", "encode (s)", "decode (ms)"], widths),
        ]
    )


def draw(encodings: Sequence[Figures], path: Path) -> None:
    """Draw the worst loss over megabytes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    ours = [row for row in encodings if row["encoding"].startswith("coded")]
    for number, row in enumerate(encodings):
        place = (row["megabytes"], _worst(row))
        axes.plot(*place, "o", color="C0" if row in ours else "C1")
        # Our own lie close together: one label is above the next.
        offset = (-36, -16 - 18 * number) if row in ours else (4, 6)
        label = row["encoding"].removeprefix("coded, ")
        arrow = {"arrowstyle": "-", "color": "0.7"} if row in ours else None
        axes.annotate(
            label, place, offset, textcoords="offset points", fontsize=8, arrowprops=arrow
        )
    line = ([row["megabytes"] for row in ours], [_worst(row) for row in ours])
    axes.plot(*line, color="C0", label="coded, by accuracy")
    axes.axhline(LIMIT_PERCENT, color="0.6", linestyle="--", label="most that may be lost")
    axes.axvline(GOAL_MB, color="0.8", linestyle=":", label="goal and limit")
    axes.axvline(LIMIT_MB, color="0.8", linestyle=":")
    axes.set(yscale="log", xlim=(0, 170), xlabel="MB per Stable Diffusion 1.5 concept (mean)")
    axes.set_ylabel("worst layer: % of f(W₀) lost")
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _worst(row: Figures) -> float:
    """The worse solver's loss, from a floor on that a logarithmic axis can show."""
    return max(1e-3, *(row[name] for name in SOLVERS))


def _by_input(recorded: Sequence[Moments]) -> list[list[Tensor]]:
    """Per layer input the moments of every concept."""
    return [
        [moments[block][name] for moments in recorded]
        for block, inputs in (recorded[0] if recorded else {}).items()
        for name in inputs
    ]


def _decoding(code: CodedMoment) -> float:
    started = time.thread_time()
    decode_moment(code)
    return time.thread_time() - started


def _summary(encoding: str, rows: Sequence[Figures]) -> Figures:
    """One encoding over everything: the mean and largest size, the worst loss of each solver."""
    found = [row["encodings"][encoding] for row in rows if row["case"] in CASES]
    everything = [row["encodings"][encoding] for row in rows if encoding in row["encodings"]]
    sizes = [figures["megabytes"] for figures in found]
    return {
        "encoding": encoding,
        "megabytes": sum(sizes) / len(sizes),
        "largest_megabytes": max(sizes),
        **{name: max(figures[name] for figures in everything) for name in SOLVERS},
    }


def _case(case: str, rows: Sequence[Figures]) -> Figures:
    """One kind of spectrum at the default accuracy."""
    found = [row["encodings"][_DEFAULT] for row in rows if row["case"] == case]
    return {
        "case": case,
        "megabytes": sum(figures["megabytes"] for figures in found) / len(found),
        **{name: max(figures[name] for figures in found) for name in SOLVERS},
    }


if __name__ == "__main__":
    main()
