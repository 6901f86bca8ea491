"""Does `mos-client protect` hinder tuning? Measured on tinyworld, against noise of the same size.

Concepts are tuned on their pictures as they are, protected, and with random noise, and some after
JPEG, a blur or scaling. Every result is kept in the work folder, so a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from measuring import DEFAULT_WORK, HERE, run_script, table, write_json
from protect_once import BLUR_RADIUS, Bench, Case, Figures
from protect_sheet import draw_sheet

CONCEPTS = ("zigmug", "mittens", "gift")
BUDGET = 8
SMALL, LARGE = 4, 16
SPOILERS = ("jpeg", "blur", "half")
_SHEET = HERE.parent / "docs" / "images" / "protect.png"


def main(argv: Sequence[str] | None = None) -> None:
    """Print the figures as a markdown section, and draw what the tuned models sample."""
    parser = argparse.ArgumentParser(description="Tuning on protected pictures against others.")
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK)
    parser.add_argument("--json", type=Path, help="also write the figures there")
    parser.add_argument("--sheet", type=Path, help="where to draw  [default: docs/images]")
    parser.add_argument("--concepts", nargs="+", default=CONCEPTS, metavar="NAME")
    parser.add_argument("--steps", type=int, default=120, help="of every tuning")
    parser.add_argument("--rounds", type=int, default=12, help="of every protection")
    parser.add_argument("--quick", action="store_true", help="few steps, to see that it runs")
    given = parser.parse_args(argv)
    steps, rounds = (1, 1) if given.quick else (given.steps, given.rounds)
    folder = given.work / f"protect-{steps}-{rounds}"
    bench = Bench(folder, steps, rounds, quick=given.quick)
    concepts = given.concepts[:1] if given.quick else given.concepts
    wanted = [case for concept in concepts for case in compared(concept)]
    others = [] if given.quick else variants(concepts[0])
    found = {case: bench.measure(case) for case in [*wanted, *others]}
    sheet = given.sheet or (folder / "protect.png" if given.quick else _SHEET)
    draw_sheet(bench, [compared(concept) for concept in concepts], sheet)
    print(section(found, steps, rounds))
    write_json(given.json, {"steps": steps, "rounds": rounds, "cases": list(found.values())})


def compared(concept: str) -> tuple[Case, Case, Case]:
    """Clean, noise, protected: what every concept is tuned on."""
    noise, protected = (Case(concept, treatment, BUDGET) for treatment in ("noise", "protected"))
    return Case(concept, "clean"), noise, protected


def variants(concept: str) -> list[Case]:
    """Another surrogate, what spoils a protection, and other budgets, for one concept."""
    return [
        *(Case(concept, "protected", BUDGET, then) for then in SPOILERS),
        *(Case(concept, "clean", 0, then) for then in SPOILERS if then != "jpeg"),
        Case(concept, "protected", SMALL),
        *(Case(concept, treatment, LARGE) for treatment in ("noise", "protected")),
        Case(concept, "protected", BUDGET, surrogate="unet"),
    ]


def section(found: Mapping[Case, Figures], steps: int, rounds: int) -> str:
    """The figures as markdown."""
    head = ["pictures", "largest change", "PSNR, dB", "held-out loss", "gain kept", "alignment"]
    return (
        "## Protecting pictures against being learned\n\n"
        f"ED-LoRA, {steps} steps, on the pictures of a tinyworld concept; {rounds} rounds of "
        "`mos-client protect`. Noise moves every channel by the whole budget. Held-out loss is the "
        "denoising loss of clean pictures that tuning never saw; gain kept is what tuning took off "
        "it, relative to tuning on the clean pictures: 1 is unhindered, 0 is nothing learned, less "
        "is a model that became worse than it was. Alignment is the tiny CLIP's, of eight sampled "
        f"pictures with these. JPEG has quality 75, the blur a radius of {BLUR_RADIUS} pixels; "
        "half is scaled to half its size and back.\n\n"
        + table(head, [_row(case, found) for case in found])
        + "\n"
    )


def _row(case: Case, found: Mapping[Case, Figures]) -> list[str]:
    figures, clean = found[case], found[Case(case.concept, "clean")]
    gain = clean["before"] - clean["after"]
    kept = (figures["before"] - figures["after"]) / gain if gain > 0 else float("nan")
    parts = [case.treatment, f"{case.budget}/255" if case.budget else "", case.then]
    against = "" if case.surrogate == "ed-lora" else f"(surrogate: {case.surrogate})"
    return [
        f"{case.concept}: {' '.join(part for part in [*parts, against] if part)}",
        f"{figures['largest']}/255",
        f"{figures['psnr']:.1f}" if figures["psnr"] is not None else "",
        f"{figures['after']:.4f}",
        f"{kept:.2f}",
        f"{figures['alignment']:.3f}",
    ]


if __name__ == "__main__":
    run_script(main)
