"""Compositions: asking for a scene to be drawn, its pictures, cancelling it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from mos_protocol.errors import Conflict, Gone, InvalidRequest, NotFound, QuotaExceeded
from mos_protocol.scene import Scene
from mos_protocol.scene_file import read_scene, scene_of

from mos_center.domain.access import Caller
from mos_center.domain.compositions import Composition, CompositionRules, CompositionState
from mos_center.domain.events import AuditEvent
from mos_center.domain.ids import new_id
from mos_center.domain.jobs import COMPOSITION, Job, other_job
from mos_center.domain.models import ModelVersion, Priority, StoredFile
from mos_center.domain.ports import Database, FusionQueue, Transaction
from mos_center.domain.request_context import request_id
from mos_center.service.models import check_given_out, find_version

log = logging.getLogger(__name__)

SceneSource = str | Mapping[str, object]
"""A scene as it comes: YAML or JSON text, or a decoded JSON object."""


class CompositionService:
    """The use cases around a composition, but for the work itself.

    A composition is seen by whoever asked for it, and by admins.
    """

    def __init__(self, database: Database, queue: FusionQueue, rules: CompositionRules) -> None:
        self._database = database
        self._queue = queue
        self._rules = rules

    @property
    def rules(self) -> CompositionRules:
        """What this center draws."""
        return self._rules

    def request(
        self, model: str, revision: str, source: SceneSource, *, caller: Caller
    ) -> Composition:
        """Have the scene drawn with a version that the caller may read.

        Raises `InvalidRequest` for whatever is wrong with the scene, concept words that the version
        has not included; `Conflict` where the center draws nothing; `NotFound`, `Gone`,
        `QuotaExceeded`.
        """
        version = self.version(model, revision, caller=caller)
        scene = self.check(version, source)
        composition = Composition(
            id=new_id(),
            model=version.model,
            version=version.version,
            scene=scene.model_dump_json(exclude_defaults=True),
            seeds=scene.seeds,
            state=CompositionState.QUEUED,
            requested_by=caller.name,
            created_at=datetime.now(UTC),
            request_id=request_id.get(),
        )
        with self._database.write() as transaction:
            # Looked up again: reading a scene takes its time.
            check_drawable(transaction, find_version(transaction, model, revision, caller))
            self._check_waiting(transaction, caller)
            transaction.compositions.add(composition)
            record_composition(transaction, composition, None, caller.name)
        self._queue.enqueue(job_of(composition.id))
        return composition

    def version(self, model: str, revision: str, *, caller: Caller) -> ModelVersion:
        """The version to be drawn with; raises as `request` does."""
        if not self._rules.is_on:
            raise Conflict(
                "This center draws no compositions.",
                hint="Pull the version and use `mos-client compose`, or ask the operator.",
            )
        with self._database.read() as transaction:
            version = find_version(transaction, model, revision, caller)
            check_drawable(transaction, version)
        return version

    def check(self, version: ModelVersion, source: SceneSource) -> Scene:
        """The scene, if this center would draw it with the version; raises `InvalidRequest`."""
        words = {word for concept in version.concepts for word in concept.words}
        if isinstance(source, str):
            scene = read_scene(source, words=words)
        else:
            scene = scene_of(source, words=words)
        self._check_work(scene)
        return scene

    def get(self, composition_id: str, *, caller: Caller) -> Composition:
        """The composition; raises `NotFound`, also when it is somebody else's."""
        with self._database.read() as transaction:
            return _own(transaction, composition_id, caller)

    def find(
        self, *, caller: Caller, before: str | None = None, limit: int
    ) -> tuple[Composition, ...]:
        """The caller's own, of an admin everybody's; newest first, only ids below `before`."""
        viewer = None if caller.is_admin else caller.name
        with self._database.read() as transaction:
            return transaction.compositions.find(viewer=viewer, before=before, limit=limit)

    def picture(self, composition_id: str, number: int, *, caller: Caller) -> StoredFile:
        """One of its pictures, a PNG; raises `NotFound`, and `Gone` when it was let go of.

        With a version that is tombstoned, or of which a concept is withdrawn, its pictures go too.
        """
        with self._database.read() as transaction:
            composition = _own(transaction, composition_id, caller)
            version = transaction.models.get(composition.model, composition.version)
            if version is not None:
                check_drawable(transaction, version)
        if composition.released_at is not None:
            raise Gone(
                "The pictures of this composition were kept long enough.",
                hint="Ask for it again: the same seeds draw the same pictures.",
            )
        found = composition.pictures.get(number)
        if found is None:
            raise NotFound(
                f"Composition {composition_id} has no picture {number}.",
                hint="One that is done has one per seed, from 0.",
            )
        return found

    def cancel(self, composition_id: str, *, caller: Caller) -> Composition:
        """Cancel it; takes effect at the next denoising step. `Conflict` when it is finished.

        Again is fine. Pictures that are drawn already stay.
        """
        with self._database.write() as transaction:
            composition = _own(transaction, composition_id, caller)
            if composition.state is CompositionState.CANCELLED:
                return composition
            composition.check_unfinished()
            cancelled = replace(
                composition, state=CompositionState.CANCELLED, finished_at=datetime.now(UTC)
            )
            transaction.compositions.update(cancelled)
            record_composition(transaction, cancelled, composition.state, caller.name)
        return cancelled

    def _check_work(self, scene: Scene) -> None:
        """Refuse what would keep a worker busy for too long, and what only clients can draw."""
        rules, (width, height) = self._rules, scene.size
        if scene.conditions:
            raise InvalidRequest(
                "conditions: the center has no T2I-Adapters.",
                hint="Leave them out, or draw it with `mos-client compose --adapter`.",
            )
        for what, asked, most in (
            ("seeds: they are", len(scene.seeds), rules.pictures),
            ("size: its pixels are", width * height, rules.pixels),
            ("steps: they are", scene.steps, rules.steps),
        ):
            if asked > most:
                raise InvalidRequest(
                    f"{what} {asked:,}; this center draws at most {most:,} per composition.",
                    hint="Ask for less, or pull the version and use `mos-client compose`.",
                    limit=most,
                )

    def _check_waiting(self, transaction: Transaction, caller: Caller) -> None:
        waiting, most = transaction.compositions.waiting(caller.name), self._rules.waiting
        if waiting >= most:
            raise QuotaExceeded(
                f"{caller.name} has {waiting} unfinished compositions; the limit is {most}.",
                hint="Wait until one is done, or cancel one.",
                quota="unfinished compositions",
                usage=waiting,
                limit=most,
            )


def job_of(composition_id: str) -> Job:
    """The composition's job: somebody waits before a screen, and it takes no minutes."""
    return Job(other_job(COMPOSITION, composition_id), Priority.HIGH)


def check_drawable(transaction: Transaction, version: ModelVersion) -> None:
    """Raise `Gone` for what was withdrawn, and `Conflict` for what can't be run here."""
    check_given_out(version)
    approved = transaction.lineage.approved([version.fusion_id])
    # Whatever was fused was approved then.
    if approved.get(version.fusion_id, 0) < len(version.concepts):
        raise Gone(
            f"A concept of {version.model}@{version.version} was withdrawn.",
            hint="Fuse it again without, and draw with that version.",
        )
    base = transaction.bases.get(version.base)
    if base is not None and len(base.layer_map.text_encoders) > 1:
        raise Conflict(
            f"{version.base} has several text encoders: such models are fused here, but not run.",
            hint="Draw with versions of Stable Diffusion 1.x and 2.x.",
        )


def record_composition(
    transaction: Transaction, composition: Composition, before: CompositionState | None, actor: str
) -> None:
    """Write a change of its state into the audit log, which never tells of prompts."""
    after: dict[str, object] = {"state": composition.state.value, "version": composition.ref}
    if before is None:
        after["pictures"] = len(composition.seeds)
    if composition.error is not None:
        after["error"] = composition.error.code
    stood = None if before is None else {"state": before.value}
    done = f"composition.{composition.state.value}"
    action = "composition.requested" if before is None else done
    resource = f"composition/{composition.id}"
    transaction.audit.record(AuditEvent(actor, action, resource, stood, after))
    log.info("%s id=%s by=%s", action, composition.id, actor)


def _own(transaction: Transaction, composition_id: str, caller: Caller) -> Composition:
    """The composition, if it is the caller's or the caller an admin."""
    composition = transaction.compositions.get(composition_id)
    if composition is None or not caller.owns(composition.requested_by):
        raise NotFound(
            f"There is no composition {composition_id!r}.", hint="List your compositions."
        )
    return composition
