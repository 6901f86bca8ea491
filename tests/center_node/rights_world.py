"""A center in which every kind of thing belongs to ada, and members who may see it or not.

ada   owns all of it          sam   ada shares zshared with him      bob   has nothing
rita  is a curator            root  is an admin
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from callers import ADA, RITA, member
from center_steps import fuse, request, send_files, store, submit_folder
from concept_packages import small_layer_map, write_package
from mos_center.domain.access import LOCAL, Role, Scope, Visibility
from mos_center.domain.evaluations import EvaluationRequest
from mos_center.domain.events import EventKind
from mos_center.domain.models import StoredFile, Submission
from mos_center.domain.policy import Review
from mos_center.opening import OpenedData
from mos_center.service.center import Center
from mos_center.service.members import MemberChange
from mos_center.settings import Settings
from mos_protocol.errors import JobFailed

PEOPLE = ("ada", "sam", "bob", "rita", "root")
SCENE = {"prompt": "a <zopen-1> <zopen-2>", "size": [64, 64]}
HOOK = "https://hooks.example/told"
ROOT = member("root", Role.ADMIN)
ROLES = {"rita": Role.CURATOR, "root": Role.ADMIN}
VISIBILITIES = {
    "zhidden": Visibility.PRIVATE,
    "zshared": Visibility.SHARED,
    "zopen": Visibility.PUBLIC,
}


@dataclass(frozen=True)
class World:
    """A data folder to be copied; `ids` fill the places of paths, `tokens` are by caller."""

    folder: Path
    ids: Mapping[str, str]
    tokens: Mapping[str, str]

    def copy(self, to: Path) -> OpenedData:
        """Open a copy, in which things may be changed."""
        shutil.copytree(self.folder, to)
        return opened_at(to)


def opened_at(folder: Path) -> OpenedData:
    """Open a folder whose database is up to date."""
    settings = Settings(
        data=folder,
        port=0,
        grpc_port=0,
        worker=False,
        review=Review.MANUAL,
        evaluation_clip="openai/clip-vit-base-patch32",
    )
    return OpenedData(settings)


def make_world(folder: Path, packages: Path) -> World:
    """Fill an empty data folder."""
    data = opened_at(folder)
    center = data.center()
    center.bases.add("small", packages, small_layer_map(), {})
    tokens = _members(center)
    ids = _concepts(center, packages) | _models(center, data) | _evaluations(center, data)
    ids |= _compositions(center, data) | _of_admins(center)
    # The model with two concepts, one of which is withdrawn now.
    center.withdrawal.withdraw("ada", "zgone", 1, "asked to", caller=ADA)
    ids["ada_token"] = center.tokens.all("ada", caller=ROOT)[0].id
    data.database.close()
    return World(folder, ids, tokens)


def _members(center: Center) -> dict[str, str]:
    """Everybody with a token for all that the role can do, and tokens that are good for less."""
    tokens: dict[str, str] = {}
    for name in (*PEOPLE, "dan"):
        center.members.add(name, ROLES.get(name, Role.MEMBER), caller=LOCAL)
        tokens[name], _ = center.tokens.create(name, "all", caller=LOCAL)
    for scope in Scope:
        others = [one for one in Scope if one is not scope]
        tokens[f"without {scope}"], _ = center.tokens.create(
            "root", f"without-{scope.name.lower()}", scopes=others, caller=LOCAL
        )
    past = timedelta(seconds=-1)
    tokens["expired"], _ = center.tokens.create("root", "old", lifetime=past, caller=LOCAL)
    tokens["revoked"], record = center.tokens.create("root", "lost", caller=LOCAL)
    center.tokens.revoke(record.id, caller=LOCAL)
    center.members.change("dan", MemberChange(disabled=True), caller=LOCAL)
    tokens["disabled"], tokens["unknown"] = tokens.pop("dan"), "mos_guess"
    return tokens


def _concepts(center: Center, packages: Path) -> dict[str, str]:
    """Concepts of every visibility, and public ones in every state."""
    ids: dict[str, str] = {}

    def package(name: str) -> Path:
        number = len(list(packages.iterdir()))
        folder = packages / name
        words = (f"<{name}-1>", f"<{name}-2>")
        return write_package(
            folder,
            small_layer_map(),
            concept=f"ada/{name}",
            words=words,
            seed=number,
            licence="CC0",
            consent="mine",
        )

    def submitted(name: str) -> Submission:
        found = submit_folder(center, package(name), ADA)
        ids[name] = found.id
        ids[f"{name}_digest"] = found.manifest_digest
        ids[f"{name}_mark"] = found.manifest_digest[:12]
        return found

    for name in (*VISIBILITIES, "zgone"):
        center.submissions.approve(submitted(name).id, RITA)
    center.submissions.reject(submitted("zrejected").id, "no consent", RITA)
    submitted("zpending")
    ids["zuploading"] = send_files(center, package("zuploading"), ADA).id
    for name, visibility in VISIBILITIES.items():
        center.concepts.show("ada", name, visibility, caller=ADA)
    for name in ("zgone", "zrejected", "zpending", "zuploading"):
        center.concepts.show("ada", name, Visibility.PUBLIC, caller=ADA)
    center.concepts.share("ada", "zshared", "sam", caller=ADA)
    center.concepts.share("ada", "zhidden", "bob", caller=ADA)
    return ids


def _models(center: Center, data: OpenedData) -> dict[str, str]:
    """A model of each concept that is called like it, and fusions that are not published."""
    ids: dict[str, str] = {}
    for name in VISIBILITIES:
        fusion = fuse(center, data, f"m-{name}", [f"ada/{name}@1"], ADA)
        ids[f"f_{name}"], ids[f"commit_{name}"] = fusion.id, fusion.build[:40]
        ids[f"mark_{name}"] = fusion.build[:12]
        center.aliases.point(f"m-{name}", "champion", 1, ADA)
    ids["f_queued"] = request(center, "m-queued", ["ada/zshared@1"], ADA).id
    ids["f_failed"] = request(center, "m-failed", ["ada/zshared@1"], ADA).id
    data.ledger().started(ids["f_failed"])
    data.ledger().failed(ids["f_failed"], JobFailed("Moments are singular."))
    fuse(center, data, "m-mixed", ["ada/zgone@1", "ada/zopen@1"], ADA)
    return ids


def _evaluations(center: Center, data: OpenedData) -> dict[str, str]:
    """An evaluation that is done of each model, and one that waits."""
    ledger = data.evaluation_ledger()
    ids: dict[str, str] = {}
    for name in VISIBILITIES:
        model, wanted = f"m-{name}", EvaluationRequest()
        evaluation, _ = center.evaluations.request(model, "1", wanted, caller=ADA)
        grid = store(data, "grid.png", f"pictures of {name}".encode())
        ledger.done(evaluation.id, {"concepts": []}, {0: StoredFile(grid.sha256, grid.size)})
        ids[f"e_{name}"] = evaluation.id
    fuse(center, data, "m-waiting", ["ada/zshared@1"], ADA)
    waiting, _ = center.evaluations.request("m-waiting", "1", EvaluationRequest(), caller=ADA)
    return ids | {"e_queued": waiting.id}


def _compositions(center: Center, data: OpenedData) -> dict[str, str]:
    """ada's compositions: one that is drawn and one that waits."""
    drawn, waiting = (
        center.compositions.request("m-zopen", "1", SCENE, caller=ADA) for _ in range(2)
    )
    ledger = data.composition_ledger()
    picture = store(data, "picture.png", b"a picture of zopen")
    ledger.begin(drawn.id)
    ledger.drawn(drawn.id, 0, StoredFile(picture.sha256, picture.size))
    ledger.done(drawn.id)
    return {"c_drawn": drawn.id, "c_queued": waiting.id}


def _of_admins(center: Center) -> dict[str, str]:
    _, invitation = center.invitations.create("newcomer", caller=ROOT)
    webhook = center.webhooks.add(HOOK, [EventKind.MODEL_PUBLISHED], caller=ROOT)
    return {"invitation": invitation.id, "webhook": webhook.id}
