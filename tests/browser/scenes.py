"""Every page with something on it, for tests that look at all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mos_client.session import Session
from town import BASE, Town


@dataclass(frozen=True)
class Scenery:
    """What the pages are about; the fusions are ids."""

    rejected: str
    failed: str
    published: str
    drawn: str


@dataclass(frozen=True)
class Scene:
    """A page: its name for the test, the page's path template, and where it is."""

    name: str
    page: str
    address: Callable[[Scenery], str]


def _at(name: str, page: str, address: str) -> Scene:
    return Scene(name, page, lambda scenery: address)


SCENES = (
    _at("login", "/login", "login"),
    _at("overview", "/", ""),
    _at("concepts", "/concepts", "concepts"),
    _at("review", "/concepts", "concepts?state=pending_review"),
    _at("no-concepts", "/concepts", "concepts?q=nothing-is-called-so"),
    _at("concept", "/concepts/{owner}/{name}/{version}", "concepts/ada/seen/1"),
    _at("waiting-concept", "/concepts/{owner}/{name}/{version}", "concepts/ada/unreviewed/1"),
    _at("models-with", "/concepts/{owner}/{name}/{version}/models", "concepts/ada/seen/1/models"),
    _at("withdraw", "/concepts/{owner}/{name}/{version}/withdraw", "concepts/ada/seen/1/withdraw"),
    Scene("submission", "/submissions/{submission_id}", lambda one: f"submissions/{one.rejected}"),
    _at("fusions", "/fusions", "fusions"),
    _at("new-fusion", "/fusions/new", "fusions/new"),
    _at("draft", "/fusions/new", "fusions/new?model=scene&concept=ada/seen@1&concept=bob/same@1"),
    Scene("failed-fusion", "/fusions/{fusion_id}", lambda one: f"fusions/{one.failed}"),
    Scene("published-fusion", "/fusions/{fusion_id}", lambda one: f"fusions/{one.published}"),
    _at("models", "/models", "models"),
    _at("model", "/models/{name}", "models/scene"),
    _at("version", "/models/{name}/{revision}", "models/scene/2"),
    _at("card", "/models/{name}/{revision}/card", "models/scene/2/card"),
    _at("layers", "/models/{name}/{revision}/layers", "models/scene/2/layers?block=unet.mid_block"),
    _at("tombstone", "/models/{name}/{revision}/tombstone", "models/scene/2/tombstone"),
    _at("compare", "/models/compare", "models/compare?left=scene@1&right=scene@2"),
    _at("compare-nothing", "/models/compare", "models/compare?left=scene@1&right=scene@9"),
    _at("compositions", "/compositions", "compositions"),
    _at("no-model", "/compositions/new", "compositions/new"),
    Scene("scene", "/compositions/new", lambda one: f"compositions/new?from={one.drawn}"),
    Scene("drawn", "/compositions/{composition_id}", lambda one: f"compositions/{one.drawn}"),
    _at("tokens", "/tokens", "tokens"),
    _at("members", "/members", "members"),
    _at("member", "/members/{name}", "members/ada"),
    _at("audit", "/audit", "audit"),
    _at("chain", "/audit/chain", "audit/chain"),
    _at("system", "/system", "system"),
    _at("health", "/system/health", "system/health"),
    _at("no-page", "/nothing", "nothing"),
)


def make_scenery(town: Town) -> Scenery:
    """Put something on every page."""
    same = {"words": ("<scene-1>", "<scene-2>")}
    town.submit("ada/seen", **same)
    town.submit("bob/same", package=1, **same)
    town.submit("bob/other", package=1)
    town.submit("ada/unreviewed", approved=False, licence="")
    rejected = town.submit("ada/refused", approved=False)
    with town.session("rita") as rita:
        rita.reject(rejected, "It shows somebody who was not asked.")
    town.fuse("scene", "ada/seen", previews=True)
    town.fuse("scene", "ada/seen", "bob/other", previews=True)
    # At once: the center believes for a while that the files are there which it read just now.
    failed = _failed(town)
    with town.session("ada") as ada:
        _evaluated(ada, "scene@2")
        ada.set_alias("scene", "champion", 1)
        ada.set_alias("scene", "champion", 2)
        published = next(one.id for one in ada.fusions() if one.model == "scene")
    return Scenery(rejected, failed, published, _drawn(town))


def _drawn(town: Town) -> str:
    """A composition of two regions, that an admin asked for: whoever looks at it may see it."""
    scene = {
        "prompt": "two of them on the beach",
        "size": [64, 64],
        "steps": 2,
        "regions": [
            {"id": "left", "box": [0, 0, 32, 64], "prompt": "a <scene-1> <scene-2>"},
            {"id": "right", "box": [32, 0, 64, 64], "prompt": "a dog"},
        ],
    }
    with town.session("root") as root:
        composition = root.request_composition("scene", scene)
        *_, last = root.watch_composition(composition.id)
    assert last.state == "done", last
    return composition.id


def _evaluated(ada: Session, ref: str) -> None:
    """Have a version evaluated for real, with as few pictures as that takes."""
    evaluation = ada.request_evaluation(ref, texts=["a photo of a <TOK>", "a <TOK> on the beach"])
    *_, last = ada.watch_evaluation(evaluation.id)
    assert last.result is not None, last


def _failed(town: Town) -> str:
    """A fusion that failed, as a file of its concept is gone."""
    town.submit("ada/incomplete")
    blob = town.blob("ada/incomplete@1", "moments/unet.mid_block.safetensors")
    away = blob.with_suffix(".away")
    with town.session("ada") as ada:
        blob.rename(away)
        try:
            fusion = ada.request_fusion("unlucky", BASE, ["ada/incomplete"])
            *_, last = ada.watch_fusion(fusion.id)
        finally:
            away.rename(blob)
    assert last.state == "failed", last
    return last.id
