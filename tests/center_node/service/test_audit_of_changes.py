"""Every change is in the audit log: who made it, and how things stood before and after."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from center_steps import publish, send_files, submit_folder
from concept_packages import small_layer_map, write_package
from mos_center import service
from mos_center.domain.access import LOCAL, Caller, Role, Scope, Visibility
from mos_center.domain.audit_actions import AUDIT_ACTIONS
from mos_center.domain.audits import AuditState
from mos_center.domain.compositions import CompositionState
from mos_center.domain.evaluations import EvaluationState
from mos_center.domain.events import AuditEvent, EventKind
from mos_center.domain.models import Fusion, Submission
from mos_center.domain.policy import Review
from mos_center.domain.states import FusionState, SubmissionState
from mos_center.opening import OpenedData
from mos_center.service.center import Center
from mos_center.service.fusion_requests import FusionRequest, WantedConcept
from mos_center.service.members import MemberChange
from mos_center.settings import Settings
from mos_protocol.errors import JobFailed, NotFound, PermissionDenied

ROOT = Caller("root", Role.ADMIN, frozenset(Scope), "t")


@dataclass
class World:
    """A center in which a little has happened, with the names of it."""

    data: OpenedData
    center: Center
    folder: Path
    made: dict[str, Any] = field(default_factory=dict)

    def package(self, name: str) -> Path:
        return write_package(
            self.folder / name, concept=f"ada/{name}", words=(f"<{name}1>",), seed=len(name)
        )

    def pending(self, name: str) -> Submission:
        return submit_folder(self.center, self.package(name))

    def approved(self, name: str) -> Submission:
        return self.center.submissions.approve(self.pending(name).id, ROOT)

    def fusion(self, model: str = "demo") -> Fusion:
        request = FusionRequest(model, "small", [WantedConcept("ada/potter")])
        return self.center.fusions.request(request, caller=ROOT)[0]


@pytest.fixture
def world(settings: Settings, tmp_path: Path) -> World:
    chosen = settings.model_copy(update={"review": Review.MANUAL, "require_statements": False})
    data = OpenedData(chosen)
    world = World(data, data.center(), tmp_path)
    world.center.bases.add("small", tmp_path, small_layer_map(), {}, caller=ROOT)
    world.center.members.add("ada", caller=ROOT)
    world.approved("potter")
    publish(world.center, data, "demo", 1, {"README.md": b"#"})
    return world


@dataclass(frozen=True)
class Change:
    """A use case, and what the newest entry says of it afterwards.

    `before`/`after`: what must be in the snapshots; None where there is none.
    """

    action: str
    make: Callable[[World], object]
    before: dict[str, object] | None
    after: dict[str, object] | None
    prepare: Callable[[World], object] = lambda world: None
    actor: str = "root"


def _offer(world: World) -> object:
    data = (world.package("cat") / "manifest.json").read_bytes()
    return world.center.submissions.offer(data, caller=ROOT)


CHANGES = [
    Change(
        "base.added",
        lambda w: w.center.bases.add(
            "other", w.folder, small_layer_map("cd" * 32), {}, caller=ROOT
        ),
        None,
        {"digest": "cd" * 32},
    ),
    Change(
        "member.added",
        lambda w: w.center.members.add("eve", Role.CURATOR, trusted=True, caller=ROOT),
        None,
        {"role": "curator", "trusted": True},
    ),
    Change(
        "member.changed",
        lambda w: w.center.members.change("ada", MemberChange(role=Role.CURATOR), caller=ROOT),
        {"role": "member"},
        {"role": "curator"},
    ),
    Change(
        "token.created",
        lambda w: w.center.tokens.create("ada", "laptop", caller=ROOT),
        None,
        {"scopes": sorted(set(Scope) - {Scope.ADMIN})},
    ),
    Change(
        "token.revoked",
        lambda w: w.center.tokens.revoke(w.made["prepared"][1].id, caller=ROOT),
        None,
        None,
        lambda w: w.center.tokens.create("ada", "laptop", caller=ROOT),
    ),
    Change("submission.uploading", _offer, None, {"state": "uploading", "concept": "ada/cat"}),
    Change(
        "submission.pending_review",
        lambda w: w.center.validation.commit(w.made["prepared"].id, caller=ROOT),
        {"state": "validating"},
        {"state": "pending_review", "version": 1},
        lambda w: send_files(w.center, w.package("cat")),
        actor="system",
    ),
    Change(
        "submission.approved",
        lambda w: w.center.submissions.approve(w.made["prepared"].id, ROOT),
        {"state": "pending_review"},
        {"state": "approved"},
        lambda w: w.pending("cat"),
    ),
    Change(
        "submission.rejected",
        lambda w: w.center.submissions.reject(w.made["prepared"].id, "spam", ROOT),
        {"state": "pending_review"},
        {"state": "rejected", "reason": "spam"},
        lambda w: w.pending("cat"),
    ),
    Change(
        "submission.withdrawn",
        lambda w: w.center.withdrawal.withdraw("ada", "cat", 1, "consent", caller=ROOT),
        {"state": "approved"},
        {"state": "withdrawn", "reason": "consent"},
        lambda w: w.approved("cat"),
    ),
    Change(
        "concept.shown",
        lambda w: w.center.concepts.show("ada", "potter", Visibility.PUBLIC, caller=ROOT),
        {"visibility": "private"},
        {"visibility": "public"},
    ),
    Change(
        "concept.shared",
        lambda w: w.center.concepts.share("ada", "potter", "ada", caller=ROOT),
        None,
        {"member": "ada"},
    ),
    Change(
        "concept.unshared",
        lambda w: w.center.concepts.unshare("ada", "potter", "ada", caller=ROOT),
        None,
        {"member": "ada"},
        lambda w: w.center.concepts.share("ada", "potter", "ada", caller=ROOT),
    ),
    Change(
        "fusion.requested",
        lambda w: w.fusion("new"),
        None,
        {"state": "queued", "model": "new", "concepts": ["ada/potter@1"]},
    ),
    Change(
        "fusion.cancelled",
        lambda w: w.center.fusions.cancel(w.made["prepared"].id, ROOT),
        {"state": "queued"},
        {"state": "cancelled"},
        lambda w: w.fusion("new"),
    ),
    Change(
        "fusion.failed",
        lambda w: w.data.ledger().failed(w.made["prepared"].id, JobFailed("no memory")),
        {"state": "queued"},
        {"state": "failed", "error": "job_failed"},
        lambda w: w.fusion("new"),
        actor="system",
    ),
    Change(
        "fusion.published",
        lambda w: publish(w.center, w.data, "new", 1, {"README.md": b"#"}, "ada/potter"),
        {"state": "running"},
        {"state": "published", "version": 1},
        actor="system",
    ),
    Change(
        "alias.moved",
        lambda w: w.center.aliases.point("demo", "champion", 1, ROOT),
        None,
        {"version": 1},
    ),
    Change(
        "alias.removed",
        lambda w: w.center.aliases.remove("demo", "champion", caller=ROOT),
        {"version": 1},
        None,
        lambda w: w.center.aliases.point("demo", "champion", 1, ROOT),
    ),
    Change(
        "version.tombstoned",
        lambda w: w.center.models.tombstone("demo", "1", "old", caller=ROOT),
        None,
        {"reason": "old"},
    ),
    Change(
        "webhook.added",
        lambda w: w.center.webhooks.add("https://x.example/", [EventKind.PING], caller=ROOT),
        None,
        {"url": "https://x.example/", "events": ["ping"]},
    ),
    Change(
        "webhook.removed",
        lambda w: w.center.webhooks.remove(w.made["prepared"].id, caller=ROOT),
        {"url": "https://x.example/"},
        None,
        lambda w: w.center.webhooks.add("https://x.example/", [EventKind.PING], caller=ROOT),
    ),
    Change(
        "webhook.pinged",
        lambda w: w.center.webhooks.ping(w.made["prepared"].id, caller=ROOT),
        None,
        {},
        lambda w: w.center.webhooks.add("https://x.example/", [EventKind.PING], caller=ROOT),
    ),
    Change(
        "invitation.created",
        lambda w: w.center.invitations.create("eve", caller=ROOT),
        None,
        {"name": "eve"},
    ),
    Change(
        "invitation.revoked",
        lambda w: w.center.invitations.revoke(w.made["prepared"][1].id, caller=ROOT),
        None,
        None,
        lambda w: w.center.invitations.create("eve", caller=ROOT),
    ),
    Change(
        "concept_audit.queued",
        lambda w: w.center.concept_audits.request("ada", "potter", 1, caller=ROOT),
        None,
        {},
    ),
]


def entries(world: World) -> list[AuditEvent]:
    found = world.center.audit.entries(caller=LOCAL, limit=1000)
    return [entry.event for entry in found]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.action)
def test_a_change_is_written_down_with_who_made_it_and_what_it_changed(
    world: World, change: Change
) -> None:
    world.made["prepared"] = change.prepare(world)
    before = len(entries(world))

    change.make(world)

    written = {event.action: event for event in entries(world)[before:]}
    assert change.action in written, sorted(written)
    assert written.keys() <= set(AUDIT_ACTIONS)
    event = written[change.action]
    assert event.actor == change.actor
    assert event.resource.partition("/")[2]
    for told, expected in ((event.before, change.before), (event.after, change.after)):
        if expected is not None:
            assert told is not None
            assert dict(told).items() >= expected.items()


def test_the_actions_that_services_name_are_the_ones_that_are_listed() -> None:
    """Those with a state in them are made of all states, and come from the enumerations."""
    named = {
        text
        for file in Path(service.__file__).parent.glob("*.py")
        for text in _texts_outside_of_logging(ast.parse(file.read_text()))
        if re.fullmatch(r"[a-z_]+\.[a-z_]+", text) and not text.endswith(".json")
    }
    only_logged = {"webhook.failed", "webhook.given_up"}

    of_states = {f"fusion.{state.value}" for state in FusionState}
    of_states |= {f"submission.{state.value}" for state in SubmissionState}
    of_states |= {f"concept_audit.{state.value}" for state in AuditState}
    of_states |= {f"composition.{state.value}" for state in CompositionState}
    of_states |= {f"evaluation.{state.value}" for state in EvaluationState}
    assert named - only_logged == set(AUDIT_ACTIONS) - of_states


def _texts_outside_of_logging(module: ast.Module) -> Iterator[str]:
    logged = {
        id(argument)
        for call in ast.walk(module)
        if isinstance(call, ast.Call) and ast.unparse(call.func).startswith("log.")
        for argument in call.args
    }
    for node in ast.walk(module):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in logged
        ):
            yield node.value


def test_a_newcomer_is_written_down_from_invitation_to_token(world: World) -> None:
    secret, _ = world.center.invitations.create("eve", caller=ROOT)
    before = len(entries(world))

    joined = world.center.invitations.join(secret)

    events = entries(world)[before:]
    assert {"member.added", "token.created"} <= {event.action for event in events}
    assert secret not in str(events)
    assert joined.secret not in str(events)


def test_no_secret_is_in_the_log(world: World) -> None:
    token, _ = world.center.tokens.create("ada", "laptop", caller=ROOT)
    webhook = world.center.webhooks.add("https://x.example/", [EventKind.PING], caller=ROOT)
    invitation, _ = world.center.invitations.create(caller=ROOT)

    told = str(entries(world))

    assert not [secret for secret in (token, webhook.secret, invitation) if secret in told]


def test_a_refused_change_writes_nothing(world: World) -> None:
    eve = Caller("eve", Role.MEMBER, frozenset(Scope), "t")
    before = entries(world)
    for attempt in (
        lambda: world.center.members.add("x", caller=eve),
        lambda: world.center.webhooks.add("https://x.example", [EventKind.PING], caller=eve),
        lambda: world.center.aliases.point("demo", "champion", 1, eve),
        lambda: world.center.withdrawal.withdraw("ada", "potter", 1, "mine", caller=eve),
    ):
        with pytest.raises((PermissionDenied, NotFound)):
            attempt()

    assert entries(world) == before


def test_the_chain_holds_after_all_of_it(world: World) -> None:
    for change in CHANGES[:4]:
        change.make(world)

    assert world.center.audit.verify(caller=LOCAL).fault is None
