"""The main job on tinyworld: three clients tune, a center fuses, everybody downloads.

Nothing here is special to the demo: it runs `mos-center` and `mos-client` as anyone would, and
asks for the fusion over REST. Leaves the contact sheet and a table of identity kept.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path

import httpx
from compare import DemoConcept, draw, load_models, measure, own_model, write_table
from processes import CommandError, run, run_side_by_side, serving_center
from sheet import draw_sheet
from tinyworld.concepts import CONCEPTS

ROOT = Path(__file__).resolve().parents[2]
BASE = ROOT / "examples" / "tinyworld" / "model"
BASE_NAME = "tinyworld"
OWNERS = {"zigmug": "ada", "mittens": "grace", "gift": "edsger"}
TWO_AT_ONCE = ("zigmug", "mittens")
# A base this small takes far higher rates than Stable Diffusion, and its embeddings are shorter;
# the share of identity kept is measured on whole pictures, so all of each counts.
TUNING = (
    "--steps", "300", "--lr-embedding", "2e-2", "--lr-text-encoder", "6e-4", "--lr-unet", "1.5e-3",
    "--embedding-norm-stop", "0", "--loss-weighting", "debiased", "--unmasked-weight", "1",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo-output"))
    out = parser.parse_args().out.resolve()
    if out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True)
    started = time.monotonic()
    try:
        sheet, table = _demo(out)
    except CommandError as failure:
        sys.exit(f"error: {failure}")
    minutes = (time.monotonic() - started) / 60
    print(f"\n{table}")
    print(f"Done in {minutes:.1f} minutes.\n  contact sheet  {sheet}")
    print(f"  fused model    {out / 'demo-1'}\n\nTry next:")
    words = " ".join(CONCEPTS["mittens"].words)
    print(
        f'  .venv/bin/mos-client sample {out / "demo-1"} "a photo of a {words} on the sand" \\\n'
        '      --guidance 2 --negative "" --seed 1 --seed 2 --out sand.png'
    )
    print(
        f"  .venv/bin/mos-center serve --data {out / 'center'}    # and open the address it prints"
    )


def _demo(out: Path) -> tuple[Path, str]:
    concepts = [_concept(name, out) for name in OWNERS]
    _say("Draw each client's pictures, and generic ones for the base's prior")
    run("world", sys.executable, "-m", "tinyworld", "concepts", "--out", out / "pictures",
        "--only", *OWNERS, "--held-out", "12")  # fmt: skip
    run("world", sys.executable, "-m", "tinyworld", "scenes", "--out", out / "generic",
        "--count", "48", "--seed", "900001")  # fmt: skip
    _say("Start a center that has the base model")
    center = out / "center"
    token = run("center", "mos-center", "token", "create", "demo", "--data", center).split()[-1]
    run("center", "mos-center", "base", "add", BASE_NAME, BASE, "--data", center,
        "--prior-images", out / "generic")  # fmt: skip
    with serving_center(center, out / "center.log") as url:
        print(f"  center   │ {url}")
        _say("Tune and upload: three clients side by side")
        run_side_by_side({c.name: _tune(c, url, token) for c in concepts})
        _say("Ask for the fusion over REST, download the published version")
        _request_fusion(url, token, concepts)
        run("pull", "mos-client", "--center", url, "--token", token, "pull", "demo@1",
            "--out", out / "demo-1")  # fmt: skip
    _say("For contrast: plain weight averaging of the same packages")
    packages = [argument for c in concepts for argument in ("--concept", c.package)]
    run("average", "mos-center", "fuse-local", "--base", BASE, *packages,
        "--solver", "average", "--out", out / "averaged")  # fmt: skip
    return _compare(out, concepts)


def _concept(name: str, out: Path) -> DemoConcept:
    words = " ".join(CONCEPTS[name].words)
    return DemoConcept(
        name, out / "pictures" / name, out / "packages" / name, f"a photo of a {words} on the grass"
    )


def _tune(concept: DemoConcept, url: str, token: str) -> list[str | Path]:
    known = CONCEPTS[concept.name]
    return [
        "mos-client", "--center", url, "--token", token,
        "tune", concept.data / "tune", "--base", BASE,
        "--name", f"{OWNERS[concept.name]}/{concept.name}", "--word", " ".join(known.words),
        "--class", known.class_word, *TUNING,
        "--out", concept.package, "--work", concept.package.with_suffix(".work"), "--upload",
    ]  # fmt: skip


def _request_fusion(url: str, token: str, concepts: list[DemoConcept]) -> None:
    request = {
        "model": "demo",
        "base": BASE_NAME,
        "concepts": [
            {"name": f"{OWNERS[c.name]}/{c.name}", "version": 1, "weight": 1.0} for c in concepts
        ],
        "solver": "closed-form",
    }
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "demo"}
    with httpx.Client(base_url=url, headers=headers, timeout=30) as rest:
        fusion = rest.post("/v1/fusions", json=request).raise_for_status().json()
        told = ""
        while fusion["state"] in ("queued", "running"):
            progress = fusion["progress"]
            text = f"{fusion['state']} {progress['done']}/{progress['total']} {progress['message']}"
            if text != told:
                print(f"  fusion   │ {text}", flush=True)
                told = text
            time.sleep(0.25)
            fusion = rest.get(f"/v1/fusions/{fusion['id']}").raise_for_status().json()
    if fusion["state"] != "published":
        raise CommandError(f"the fusion ended as {fusion['state']}: {fusion['error']}")
    print(f"  fusion   │ published demo@{fusion['model_version']}")


def _compare(out: Path, concepts: list[DemoConcept]) -> tuple[Path, str]:
    _say("Sample everything with the same seeds, and measure what was kept")
    base, fused, averaged = load_models(BASE, out / "demo-1", out / "averaged")
    rows, figures = [], []
    for concept in concepts:
        with own_model(base, concept):
            own = draw(base, concept.prompt)
        cells = [
            concept.tuning_pictures(), own,
            draw(fused, concept.prompt), draw(averaged, concept.prompt),
        ]  # fmt: skip
        kept = measure(base, fused, averaged, concept)
        small = [f"kept, fused: {kept.share_fused:.0%}", f"averaged: {kept.share_averaged:.0%}"]
        rows.append((concept.name, small, cells))
        figures.append(kept)
        print(f"  measure  │ {concept.name}: {', '.join(small)}", flush=True)
    both = " and a ".join(" ".join(CONCEPTS[name].words) for name in TWO_AT_ONCE)
    prompt = f"a photo of a {both} on the grass"
    sheet = out / "contact-sheet.png"
    columns = ("tuning pictures", "own tuned model", "fused model", "weights averaged")
    footer = (f"fused model: {prompt}", draw(fused, prompt, seeds=range(1, 7)))
    draw_sheet(columns, rows, footer, sheet)
    return sheet, write_table(figures, out / "identity.md")


def _say(text: str) -> None:
    print(f"\n{text}", flush=True)


if __name__ == "__main__":
    main()
