"""Tunes the cast's concepts for real, once: their packages stay in the work folder."""

from __future__ import annotations

import sys
from pathlib import Path

from cast import TUNED, Tuned
from processes import run, run_side_by_side, serving_center
from tinyworld.folder import write_concept

ROOT = Path(__file__).resolve().parents[2]
BASE = ROOT / "examples" / "tinyworld" / "model"
BASE_NAME = "tinyworld"
AT_ONCE = 2
# As the demo tunes on this base, with fewer steps.
TUNING = (
    "--lr-embedding", "1e-2", "--lr-text-encoder", "2e-4", "--lr-unet", "1e-3",
    "--embedding-norm-stop", "0", "--prior-penalty", "0.1", "--unmasked-weight", "1",
)  # fmt: skip


def add_base(data: Path, work: Path) -> None:
    """Register tinyworld's base model at the center in the folder `data`."""
    generic = work / "generic"
    if not generic.exists():
        run("world", sys.executable, "-m", "tinyworld", "scenes", "--out", generic,
            "--count", "48", "--seed", "900001")  # fmt: skip
    run("center", "mos-center", "base", "add", BASE_NAME, BASE, "--data", data,
        "--prior-images", generic)  # fmt: skip


def package_of(tuned: Tuned, work: Path) -> Path:
    """The folder of a concept's package, there once `tune_missing` ended."""
    return work / "packages" / tuned.package


def tune_missing(work: Path) -> None:
    """Tune whatever has no package yet, a few at once. Takes about ten minutes on two cores."""
    missing = [tuned for tuned in TUNED if not package_of(tuned, work).exists()]
    if not missing:
        return
    data = work / "tuning-center"
    if not data.exists():
        add_base(data, work)
    with serving_center(data, work / "tuning-center.log") as url:
        for first in range(0, len(missing), AT_ONCE):
            batch = missing[first : first + AT_ONCE]
            run_side_by_side({tuned.name: _command(tuned, url, work) for tuned in batch})


def _command(tuned: Tuned, url: str, work: Path) -> list[str | Path]:
    pictures = write_concept(tuned.subject, work / "pictures", held_out=0) / "tune"
    stated = ["--licence", tuned.licence] if tuned.licence else []
    stated += ["--consent", tuned.consent] if tuned.consent else []
    return [
        "mos-client", "--center", url, "tune", pictures, "--base", BASE,
        "--name", tuned.concept, "--word", tuned.words, "--class", tuned.class_word,
        "--steps", str(tuned.steps), *TUNING, "--description", tuned.description, *stated,
        "--out", package_of(tuned, work), "--work", work / "states" / tuned.package,
    ]  # fmt: skip
