"""Pictures of the dashboard for the documentation: real concepts, real models, a real browser.

    python examples/screenshots/run.py            tunes what is not tuned yet, then takes them
    python examples/screenshots/run.py --serve    instead goes on serving, to look around

The first run tunes for about ten minutes on two cores; its packages are kept for the next one.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "demo"))

from mos_client.session import Fusion
from pictures import PHONE, Camera, Shot, camera
from playwright.sync_api import Page
from processes import CommandError
from tuning import tune_missing
from world import World, running_world, start_long_fusion

HERE = Path(__file__).resolve().parent
WORK = HERE / ".work"
OUT = HERE.parents[1] / "docs" / "images" / "dashboard"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--serve", action="store_true", help="take no pictures; end with Ctrl-C")
    given = parser.parse_args()
    WORK.mkdir(exist_ok=True)
    try:
        tune_missing(WORK)
        with running_world(WORK) as world:
            if given.serve:
                _serve(world)
            else:
                with camera(world, given.out) as taking:
                    take_all(taking, world)
    except CommandError as failure:
        sys.exit(f"error: {failure}")


def take_all(taking: Camera, world: World) -> None:
    """Every picture of docs/dashboard.md."""
    failed = next(fusion.id for fusion in _fusions(world) if fusion.state == "failed")
    done = next(fusion.id for fusion in _fusions(world) if fusion.model == "demo")
    shots = [
        Shot("login", "login", member=""),
        Shot("concepts", "concepts"),
        Shot("concepts-phone", "concepts", size=PHONE, member="ada"),
        Shot("review", "concepts?state=pending_review", act=_choose_all),
        Shot("concept", "concepts/grace/mittens/2", member="grace"),
        Shot("withdraw", "concepts/ada/zigmug/1/withdraw", member="ada"),
        Shot("new-fusion", NEW_FUSION, member="ada"),
        Shot("fusion-failed", f"fusions/{failed}", member="alan"),
        Shot("fusion-done", f"fusions/{done}", member="ada"),
        Shot("models", "models", member="ada"),
        Shot("model", "models/demo", member="ada"),
        Shot("version", "models/demo/3", member="ada"),
        Shot("version-dark", "models/demo/3", member="ada", scheme="dark"),
        Shot("compare", "models/compare?left=demo@2&right=demo@3", member="ada"),
        Shot("tokens", "tokens", member="ada"),
        Shot("members", "members", member="root"),
        Shot("member", "members/ada", member="root"),
        Shot("audit", "audit", member="root", act=_wait_for_chain),
        Shot("system", "system", member="root"),
    ]
    for shot in shots:
        taking.take(shot)
        print(f"  picture  │ {shot.name}", flush=True)
    # Last: they show what runs, and that would slow the others down.
    running = start_long_fusion(world).id
    _wait_until_half(world, running)
    for shot in (
        Shot("fusion-running", f"fusions/{running}", member="ada"),
        Shot("fusion-running-dark", f"fusions/{running}", member="ada", scheme="dark"),
        Shot("fusion-phone", f"fusions/{running}", member="ada", size=PHONE),
        Shot("fusions", "fusions", member="ada"),
        Shot("overview", ""),
        Shot("overview-dark", "", scheme="dark"),
    ):
        taking.take(shot)
        print(f"  picture  │ {shot.name}", flush=True)


NEW_FUSION = (
    "fusions/new?base=tinyworld&model=demo&concept=ada/zigmug@1&concept=grace/mittens@2"
    "&concept=barbara/kitten@1"
)


def _choose_all(page: Page) -> None:
    page.check("#all")


def _wait_for_chain(page: Page) -> None:
    page.wait_for_selector("text=whole", timeout=20_000)


def _fusions(world: World) -> list[Fusion]:
    with world.session("root") as root:
        return root.fusions()


def _wait_until_half(world: World, fusion: str) -> None:
    """Wait until some blocks are fused and some are not."""
    with world.session("root") as root:
        for _ in range(600):
            progress = root.fusion(fusion).progress
            if progress.done >= 4:
                return
            time.sleep(0.1)


def _serve(world: World) -> None:
    start_long_fusion(world)
    print(f"\n{world.url}/dashboard\n")
    for member, token in world.tokens.items():
        print(f"  {member:<10} {token}")
    try:
        while True:
            time.sleep(1)
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
