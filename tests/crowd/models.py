"""Fusions of the crowd's concepts, what they told, and the model versions that came of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mos_center.domain.evaluations import EvaluationState
from mos_center.domain.fusion_events import FusionEventKind
from mos_center.domain.models import Priority
from mos_center.domain.states import FusionState, SubmissionState
from mos_protocol.layer_map import Part

from crowd.concepts import BLOCKS, Version
from crowd.people import MEMBER
from crowd.reports import FEW_LAYERS, MANY_LAYERS, evaluated, finding, report
from crowd.rows import Chance, Row

VERSIONS = 3
UNPUBLISHED = {
    FusionState.QUEUED: 40,
    FusionState.RUNNING: 2,
    FusionState.FAILED: 40,
    FusionState.CANCELLED: 18,
}
FILES = ("README.md", "concepts.json", "report.json", "quality.png", "unet/config.json",
         *(f"unet/diffusion_pytorch_model-{n:05d}-of-00012.safetensors" for n in range(1, 13)),
         "vae/config.json", "vae/model.safetensors")  # fmt: skip
PICTURED = ("quality.png", "previews/")
# Concepts and blocks of the largest fusions.
MOST_CONCEPTS, USUAL_CONCEPTS, FULL_SIZE = 256, (2, 3, 4, 6), 14
BLOCKS_OF_LARGEST = 40


@dataclass(frozen=True)
class Fused:
    """A fusion as its version and its events refer to it."""

    id: str
    model: str
    number: int | None
    concepts: tuple[Version, ...]
    by: str
    state: FusionState
    at: datetime
    build: str

    @property
    def refs(self) -> list[str]:
        return [concept.ref for concept in self.concepts]

    @property
    def is_full_size(self) -> bool:
        return len(self.concepts) == FULL_SIZE


def draw_fusions(
    chance: Chance, versions: list[Version], people: list[str], models: int
) -> list[Fused]:
    """Every model's versions, then fusions that are not published (yet)."""
    by_base: dict[str, list[Version]] = defaultdict(list)
    for version in versions:
        if version.state is SubmissionState.APPROVED:
            by_base[version.base].append(version)
    bases = [by_base[name] for name in sorted(by_base)]

    def fused(
        model: int, number: int | None, at: datetime, count: int, state: FusionState
    ) -> Fused:
        concepts = _distinct(chance, bases[model % len(bases)], count)
        # What is looked at belongs to a plain member, who might not see it otherwise.
        looked_at = model == models - 1 or state in (FusionState.RUNNING, FusionState.FAILED)
        by = MEMBER if looked_at else chance.random.choice(people)
        name = f"model-{model:04d}"
        return Fused(chance.id_at(at), name, number, concepts, by, state, at, chance.sha256())

    def usual() -> int:
        return chance.random.choice(USUAL_CONCEPTS)

    published = []
    for place, at in enumerate(chance.moments(models * VERSIONS)):
        count = FULL_SIZE if place >= models * VERSIONS - 2 else usual()
        number = 1 + place // models
        published.append(fused(place % models, number, at, count, FusionState.PUBLISHED))
    states = [state for state, count in UNPUBLISHED.items() for _ in range(count)]
    others = []
    for place, state in enumerate(states):
        at = chance.now - timedelta(minutes=len(states) - place)
        count = MOST_CONCEPTS if state is FusionState.RUNNING else usual()
        others.append(fused(chance.random.randrange(models), None, at, count, state))
    return published + others


def _distinct(chance: Chance, versions: list[Version], count: int) -> tuple[Version, ...]:
    """`count` versions of different concepts, or as many as there are."""
    drawn = chance.random.sample(versions, min(len(versions), 2 * count))
    return tuple({(one.owner, one.name): one for one in drawn}.values())[:count]


def fusion_row(fused: Fused) -> Row:
    """The row of a fusion; the running ones are half done."""
    begun = fused.state not in (FusionState.QUEUED, FusionState.CANCELLED)
    ended = fused.state not in (FusionState.QUEUED, FusionState.RUNNING)
    blocks = BLOCKS_OF_LARGEST if fused.state is FusionState.RUNNING else len(BLOCKS)
    done = blocks // 2 if fused.state in (FusionState.RUNNING, FusionState.FAILED) else blocks
    failure = {"code": "job_failed", "message": "Moments of unet.mid_block are singular.",
               "hint": "Raise the ridge of spatial."}  # fmt: skip
    return {
        "id": fused.id,
        "model": fused.model,
        "base": fused.concepts[0].base,
        "solver": "closed-form",
        "prior_weight": 0.1,
        "ridge": dict.fromkeys(Part, 1e-3),
        "lbfgs_steps": None,
        "refine_rounds": 0,
        "exports": [],
        "build": fused.build,
        "state": fused.state,
        "done": done if begun else 0,
        "total": blocks + 1 if begun else 0,
        "message": "fuse unet.mid_block" if fused.state is FusionState.RUNNING else "",
        "error": failure if fused.state is FusionState.FAILED else None,
        "model_version": fused.number,
        "created_at": fused.at,
        "finished_at": fused.at + timedelta(seconds=50) if ended else None,
        "requested_by": fused.by,
        "priority": Priority.NORMAL,
        "started_at": fused.at + timedelta(seconds=2) if begun else None,
        "attempts": int(begun),
        "generation": 0,
        "deaths": 0,
        "queued_at": None,
        "request_id": "",
        "engine": "1",
        "refusion_of": None,
        "previews": None,
    }


def concept_rows(fused: Fused) -> Iterator[Row]:
    """The concepts of a fusion, with weights."""
    for position, version in enumerate(fused.concepts):
        weights = {f"weight_{part}": 1.0 for part in Part}
        yield {"fusion": fused.id, "position": position, "submission": version.id, **weights}


def event_rows(chance: Chance, fused: Fused) -> Iterator[Row]:
    """What a fusion told, as far as it is."""
    seq = 0

    def event(kind: FusionEventKind, step: str = "", data: dict[str, Any] | None = None) -> Row:
        nonlocal seq
        seq += 1
        attempt = int(kind is not FusionEventKind.REQUESTED)
        return {"fusion": fused.id, "seq": seq, "at": fused.at + timedelta(seconds=seq),
                "kind": kind, "generation": 0, "attempt": attempt, "step": step,
                "data": data}  # fmt: skip

    yield event(FusionEventKind.REQUESTED, data={"by": fused.by})
    if fused.state in (FusionState.QUEUED, FusionState.CANCELLED):
        return
    large = fused.state is FusionState.RUNNING
    blocks = [f"unet.block.{n}" for n in range(BLOCKS_OF_LARGEST)] if large else list(BLOCKS)
    steps = [{"name": f"fuse {block}", "block": block} for block in blocks]
    steps += [{"name": name, "block": ""} for name in ("writing the model", "storing the model")]
    yield event(FusionEventKind.BEGUN, data={"executor": "worker-0"})
    yield event(FusionEventKind.PLANNED, data={"steps": steps})
    published = fused.state is FusionState.PUBLISHED
    for block in blocks if published else blocks[: len(blocks) // 2]:
        found = finding(chance, fused.refs, block, FEW_LAYERS)
        yield event(FusionEventKind.STEP_STARTED, f"fuse {block}")
        yield event(FusionEventKind.STEP_DONE, f"fuse {block}", {"seconds": 1.5, "finding": found})
    if published:
        yield event(FusionEventKind.PUBLISHED, data={"version": fused.number})


def version_row(chance: Chance, fused: Fused) -> Row:
    """The version that a fusion became, with its report."""
    layers = MANY_LAYERS if fused.is_full_size else FEW_LAYERS
    gone = not fused.is_full_size and chance.random.random() < 0.03
    at = fused.at + timedelta(seconds=50)
    return {
        "model": fused.model,
        "version": fused.number,
        "fusion": fused.id,
        "report": report(chance, fused.refs, fused.concepts[0].base, layers),
        "created_at": at,
        "tombstoned_at": at + timedelta(days=1) if gone else None,
        "tombstone_reason": "A concept was withdrawn." if gone else "",
    }


def file_rows(
    chance: Chance, fused: Fused, blobs: list[str], picture: str, card: str
) -> Iterator[Row]:
    """A version's files; those that pages show are really there."""
    previews = [f"previews/{v.owner}/{v.name}.png" for v in fused.concepts]
    for path in (*FILES, *previews):
        sha256 = picture if path.startswith(PICTURED) else chance.random.choice(blobs)
        sha256 = card if path == "README.md" else sha256
        size = chance.random.randrange(1_000, 400_000_000)
        yield {"model": fused.model, "version": fused.number, "path": path, "sha256": sha256,
               "size": size}  # fmt: skip


def evaluation_row(chance: Chance, fused: Fused) -> Row:
    """An evaluation of a version, with figures of every concept."""
    at = fused.at + timedelta(hours=1)
    return {
        "id": chance.id_at(at),
        "model": fused.model,
        "version": fused.number,
        "prompts": {},
        "seeds": 2,
        "state": EvaluationState.DONE,
        "done": 120 * len(fused.concepts),
        "total": 120 * len(fused.concepts),
        "message": "done",
        "error": None,
        "result": {
            "clip": {"name": "openai/clip-vit-base-patch32", "digest": "0" * 64},
            "seeds": 2,
            "concepts": [evaluated(chance, ref) for ref in fused.refs],
        },
        "requested_by": fused.by,
        "request_id": "",
        "created_at": at,
        "started_at": at,
        "finished_at": at + timedelta(hours=1),
    }


def grid_rows(evaluation: Row, fused: Fused, picture: str) -> Iterator[Row]:
    """A picture of each of its concepts."""
    for number, version in enumerate(fused.concepts):
        yield {"evaluation": evaluation["id"], "number": number, "submission": version.id,
               "sha256": picture, "size": 90_000}  # fmt: skip


def alias_rows(chance: Chance, models: int) -> list[Row]:
    """A champion for every second model."""
    return [{"model": f"model-{n:04d}", "alias": "champion",
             "version": chance.random.randint(1, VERSIONS)}
            for n in range(0, models, 2)]  # fmt: skip
