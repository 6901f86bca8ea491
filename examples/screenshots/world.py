"""A center that a handful of people have worked with: concepts, models, and what went wrong."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cast import TUNED
from mos_client.session import Fusion, Session
from processes import run, serving_center
from tuning import BASE_NAME, add_base, package_of

ROLES = {"root": "admin", "rita": "curator"}
MEMBERS = ("root", "rita", *dict.fromkeys(tuned.owner for tuned in TUNED))
WAITING = ("alan/moonmug@1", "katherine/berry@1")
REJECTED = {"edsger/haunt@1": "Whose house is it? Please state a licence, and who agreed."}
# The first try of a concept that is fused in its second version, one with the same word, and one
# that is withdrawn.
NOT_TOGETHER = ("grace/mittens@1", "barbara/kitten@1", "edsger/gift@1")
SETTINGS = {
    "MOS_REVIEW": "manual",
    "MOS_REQUIRE_STATEMENTS": "false",
    "MOS_QUOTA_CONCEPTS": "20",
    "MOS_QUOTA_BYTES": "200000000",
}


@dataclass(frozen=True)
class World:
    """The running center, and tokens by member."""

    url: str
    data: Path
    tokens: Mapping[str, str]

    def session(self, member: str) -> Session:
        """The center as a member's program sees it."""
        return Session(self.url, self.tokens[member])


@contextmanager
def running_world(work: Path) -> Iterator[World]:
    """A new center in the work folder, filled for real; it runs inside the context."""
    data = work / "center"
    shutil.rmtree(data, ignore_errors=True)
    os.environ.update(SETTINGS)
    tokens = {member: _join(member, data) for member in MEMBERS}
    add_base(data, work)
    with serving_center(data, work / "center.log") as url:
        world = World(url, data, tokens)
        _submit(world, work)
        _review(world)
        _fuse(world)
        _withdraw(world)
        _fail(world)
        yield world


def start_long_fusion(world: World) -> Fusion:
    """A fusion that runs for a while, and two that wait behind it."""
    wanted = [tuned.ref for tuned in TUNED if tuned.visibility == "public"]
    fusable = [ref for ref in wanted if ref not in (*WAITING, *REJECTED, *NOT_TOGETHER)]
    with world.session("ada") as ada, world.session("alan") as alan:
        # Refinement samples with the fused model, over and over.
        long = ada.request_fusion("all-of-us", BASE_NAME, fusable, refine_rounds=3)
        alan.request_fusion("fish", BASE_NAME, ["alan/clown", "grace/mittens"], priority="low")
        alan.request_fusion("fish", BASE_NAME, ["alan/clown", "katherine/aurora"])
    return long


def _join(member: str, data: Path) -> str:
    """Add the member and make a token."""
    if member != "root":
        role = ROLES.get(member, "member")
        run("center", "mos-center", "member", "add", member, "--role", role, "--data", data)
    told = run("center", "mos-center", "token", "create", member, "--data", data)
    return re.findall(r"mos_\S+", told)[-1]


def _submit(world: World, work: Path) -> None:
    for tuned in TUNED:
        with world.session(tuned.owner) as session:
            session.submit(package_of(tuned, work))
            session.show_concept(tuned.concept, tuned.visibility)
            if tuned.visibility == "shared":
                session.share_concept(tuned.concept, "grace")


def _review(world: World) -> None:
    with world.session("rita") as rita:
        waiting = {f"{one.concept}@{one.version}": one for one in rita.submissions()
                   if one.state == "pending_review"}  # fmt: skip
        for ref in (tuned.ref for tuned in TUNED):
            if ref in REJECTED:
                rita.reject(waiting[ref].id, REJECTED[ref])
            elif ref not in WAITING:
                rita.approve(waiting[ref].id)


def _fuse(world: World) -> None:
    """Models of several people, one of them in three versions with an alias that moved."""
    small = ["ada/zigmug@1", "grace/mittens@1"]
    better = ["ada/zigmug@1", "grace/mittens@2", "alan/clown@1"]
    with world.session("ada") as ada:
        for concepts in (small, better, [*better, "barbara/nova@1", "katherine/aurora@1"]):
            version = _published(ada, ada.request_fusion("demo", BASE_NAME, concepts))
            ada.set_alias("demo", "champion", version)
        ada.set_alias("demo", "stable", 2)
    with world.session("katherine") as katherine:
        winter = ["katherine/aurora@1", "barbara/nova@1"]
        _published(katherine, katherine.request_fusion("winter", BASE_NAME, winter,
                                                       exports=["kohya-lora"]))  # fmt: skip
    with world.session("edsger") as edsger:
        _published(edsger, edsger.request_fusion("party", BASE_NAME, ["edsger/gift@1", *small]))


def _withdraw(world: World) -> None:
    """A concept is taken back, its model is gone, and fused again without it."""
    with world.session("edsger") as edsger:
        edsger.withdraw_concept("edsger/gift@1", "The ribbon is somebody's trade mark.")
        _published(edsger, edsger.request_refusion("party@1"))


def _fail(world: World) -> None:
    """A fusion that fails for real: a file of a concept is away while it runs."""
    with world.session("alan") as alan, world.session("root") as root:
        lost = root.concept("alan/clown@1").manifest.file("moments/unet.mid_block.safetensors")
        assert lost is not None
        blob = world.data / "blobs" / lost.sha256[:2] / lost.sha256[2:]
        away = blob.with_suffix(".away")
        fusion = alan.request_fusion("fish", BASE_NAME, ["alan/clown"], prior_weight=0.2)
        blob.rename(away)
        *_, last = alan.watch_fusion(fusion.id)
        away.rename(blob)
        assert last.state == "failed", last


def _published(session: Session, fusion: Fusion) -> int:
    """Wait for a fusion; returns its version."""
    *_, last = session.watch_fusion(fusion.id)
    assert last.model_version, last
    return last.model_version
