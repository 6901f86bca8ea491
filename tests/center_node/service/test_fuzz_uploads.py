"""Uploads in every order: offers, whole, broken and wrong files, commits, decisions, withdrawals.

A model says what must be there after each step; the center, its store and its rows must agree.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from center_steps import stored
from concept_packages import edit_header, reseal, small_layer_map, write_package
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from mos_center.domain.access import LOCAL
from mos_center.domain.policy import Review
from mos_center.domain.states import SubmissionState as State
from mos_center.opening import opened
from mos_center.service.fusion_requests import FusionRequest, WantedConcept
from mos_center.service.garbage import GarbageService
from mos_center.settings import Settings
from mos_protocol.errors import Conflict, InvalidPackage, InvalidRequest, NotFound
from mos_protocol.manifest import CONCEPT_FILE, MANIFEST_FILE, Manifest, read_manifest
from mos_protocol.names import Digest
from sqlalchemy import text

REACHED: Counter[str] = Counter()
"""How far all runs together got; one that never gets far proves little."""
HOLDING = {State.UPLOADING, State.PENDING_REVIEW, State.APPROVED}
"""The states in which a package refers to its files."""


@dataclass(frozen=True)
class Package:
    """A package on its sender's disk; a spoiled one has a file that is no tensor file."""

    folder: Path
    manifest: Manifest
    spoiled: bool

    @property
    def content(self) -> dict[str, bytes]:
        """The bytes of each file by their sha256."""
        return {
            entry.sha256: (self.folder / entry.path).read_bytes() for entry in self.manifest.files
        }


def write_packages(root: Path) -> tuple[Package, ...]:
    """Two versions of one concept that share files, one of another concept, and a spoiled one."""
    folders = [
        write_package(root / "a", seed=1),
        write_package(root / "b", seed=2),
        write_package(root / "c", seed=1, concept="bob/cat", words=("<cat1>", "<cat2>")),
        write_package(root / "d", seed=3),
    ]
    (folders[1] / "previews/0.7.png").write_bytes((folders[0] / "previews/0.7.png").read_bytes())
    reseal(folders[1])
    edit_header(folders[3] / CONCEPT_FILE, lambda header: b'{"no": "tensors"}')
    reseal(folders[3])
    return tuple(
        Package(folder, read_manifest(folder), spoiled=folder is folders[3]) for folder in folders
    )


@dataclass
class Sent:
    """What the model knows of a package that was offered."""

    id: str
    state: State = State.UPLOADING
    version: int | None = None


class Uploads(RuleBasedStateMachine):
    """The center and the model, side by side."""

    def __init__(self, packages: tuple[Package, ...], empty_data: Path) -> None:
        super().__init__()
        self.packages = packages
        self.closing = ExitStack()
        folder = Path(self.closing.enter_context(tempfile.TemporaryDirectory()))
        shutil.copytree(empty_data, folder / "data")
        chosen = Settings(data=folder / "data", review=Review.MANUAL, require_statements=False)
        self.data = self.closing.enter_context(opened(chosen))
        self.center = self.data.center()
        self.center.bases.add("small", folder, small_layer_map(), {})
        self.sent: dict[int, Sent] = {}
        self.there: set[str] = set()
        self.versions: dict[tuple[str, int], str] = {}
        self.fused = 0

    def teardown(self) -> None:
        REACHED.update(one.state for one in self.sent.values())
        REACHED["fused"] += self.fused
        self.closing.close()

    package = st.integers(0, 3)
    file = st.integers(0, 3)

    @rule(number=package)
    def offer(self, number: int) -> None:
        package = self.packages[number]
        data = (package.folder / MANIFEST_FILE).read_bytes()
        try:
            offer = self.center.submissions.offer(data, caller=LOCAL)
        except Conflict:
            assert self.sent[number].state is State.WITHDRAWN
            return
        known = self.sent.setdefault(number, Sent(offer.submission.id))
        assert known.state is not State.WITHDRAWN
        if known.state is State.REJECTED:
            known.state = State.UPLOADING
        assert offer.submission.id == known.id
        missing = {blob.entry.sha256 for blob in offer.missing}
        expected = set(package.content) - self.there if known.state is State.UPLOADING else set()
        assert missing == expected

    @rule(number=package, file=file)
    def put(self, number: int, file: int) -> None:
        self._send(number, file, lambda data: data)

    @rule(number=package)
    def put_the_rest(self, number: int) -> None:
        for file in range(4):
            self._send(number, file, lambda data: data)

    @rule(number=package)
    def submit(self, number: int) -> None:
        """All that a sender whom nothing happens to does."""
        self.offer(number)
        self.put_the_rest(number)
        self.commit(number)

    @rule(number=package, file=file)
    def break_off(self, number: int, file: int) -> None:
        self._send(number, file, lambda data: data[: len(data) // 2])

    @rule(number=package, file=file)
    def send_wrong_bytes(self, number: int, file: int) -> None:
        self._send(number, file, lambda data: bytes(len(data)))

    @rule(number=package)
    def commit(self, number: int) -> None:
        known = self.sent.get(number)
        if known is None:
            return
        package, before = self.packages[number], known.state
        complete = set(package.content) <= self.there
        try:
            submission = self.center.validation.commit(known.id, caller=LOCAL)
        except Conflict:
            refused = before in (State.REJECTED, State.WITHDRAWN)
            assert refused or (before is State.UPLOADING and not complete)
            return
        except InvalidPackage:
            assert (before, complete, package.spoiled) == (State.UPLOADING, True, True)
            self._drop(number, State.REJECTED)
            return
        if before is State.UPLOADING:
            assert complete
            assert not package.spoiled
            self._accepted(number, submission.version)
            self.ask_for_a_fusion(number)
        assert (submission.state, submission.version) == (known.state, known.version)

    @rule(number=package)
    def approve(self, number: int) -> None:
        known = self.sent.get(number)
        if known is None:
            return
        try:
            self.center.submissions.approve(known.id, LOCAL)
        except Conflict:
            assert known.state not in (State.PENDING_REVIEW, State.APPROVED)
            return
        assert known.state in (State.PENDING_REVIEW, State.APPROVED)
        known.state = State.APPROVED
        REACHED["approvals"] += 1
        self.ask_for_a_fusion(number)

    @rule(number=package)
    def reject(self, number: int) -> None:
        known = self.sent.get(number)
        if known is None:
            return
        try:
            self.center.submissions.reject(known.id, "no", LOCAL)
        except Conflict:
            assert known.state in (State.APPROVED, State.WITHDRAWN)
            return
        assert known.state in (State.UPLOADING, State.PENDING_REVIEW, State.REJECTED)
        self._drop(number, State.REJECTED)

    @precondition(lambda self: any(one.state is State.APPROVED for one in self.sent.values()))
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        approved = [n for n, one in self.sent.items() if one.state is State.APPROVED]
        number = data.draw(st.sampled_from(approved))
        owner, name = self.packages[number].manifest.concept.split("/")
        version = self.sent[number].version
        self.center.withdrawal.withdraw(owner, name, version or 0, "consent", caller=LOCAL)
        self._drop(number, State.WITHDRAWN)

    @rule(number=package)
    def ask_for_a_fusion(self, number: int) -> None:
        known = self.sent.get(number)
        concept = self.packages[number].manifest.concept
        version = known.version if known and known.version else 9
        request = FusionRequest("demo", "small", [WantedConcept(concept, version)])
        try:
            self.center.fusions.request(request, caller=LOCAL)
        except (NotFound, InvalidRequest):
            assert known is None or known.state is not State.APPROVED
            return
        assert known is not None
        assert known.state is State.APPROVED
        self.fused += 1

    @rule(number=package)
    def submit_and_approve(self, number: int) -> None:
        self.submit(number)
        self.approve(number)

    @rule()
    def collect_garbage(self) -> None:
        """Beside uploads: nothing of theirs is garbage yet."""
        self._garbage(timedelta(hours=1)).collect(caller=LOCAL)

    @rule(often=st.integers(0, 3))
    def come_back_after_days(self, often: int) -> None:
        """Uploads that nobody went on with are given up."""
        if often:
            return
        self._garbage(timedelta(days=-1)).collect(caller=LOCAL)
        for number, known in self.sent.items():
            if known.state is State.UPLOADING:
                self._drop(number, State.REJECTED)

    @invariant()
    def only_what_is_approved_is_listed_as_approved(self) -> None:
        found = self.center.concepts.find(caller=LOCAL, limit=100)
        listed = {(one.manifest_digest, one.state) for one in found}
        catalogued = {State.PENDING_REVIEW, State.APPROVED, State.WITHDRAWN}
        assert listed == {
            (self.packages[number].manifest.digest(), known.state)
            for number, known in self.sent.items()
            if known.state in catalogued
        }

    @invariant()
    def the_store_holds_what_arrived_and_nothing_else(self) -> None:
        assert stored(self.data) == self.there
        for digest in self.there:
            with self.data.blobs.open(Digest(digest)) as blob:
                assert hashlib.sha256(blob.read()).hexdigest() == digest

    @invariant()
    def references_are_rows(self) -> None:
        with self.data.database.engine.connect() as connection:
            rows = connection.execute(text("SELECT submission, sha256 FROM submission_files")).all()
            known = set(connection.scalars(text("SELECT sha256 FROM blobs")))
        expected = {
            (one.id, digest)
            for number, one in self.sent.items()
            if one.state in HOLDING
            for digest in self.packages[number].content
        }
        assert {tuple(row) for row in rows} == expected
        assert known == {digest for _, digest in expected}

    def _garbage(self, grace: timedelta) -> GarbageService:
        return GarbageService(self.data.database, self.data.blobs, grace)

    def _send(self, number: int, file: int, change: Callable[[bytes], bytes]) -> None:
        known, package = self.sent.get(number), self.packages[number]
        if known is None:
            return
        digest, content = sorted(package.content.items())[file]
        data = change(content)
        try:
            with self.center.uploads.begin(known.id, Digest(digest), caller=LOCAL) as upload:
                upload.write(data)
                upload.finish()
        except Conflict:
            assert known.state is not State.UPLOADING
            return
        except InvalidPackage:
            assert data != content
            # Too few bytes are a broken connection; others are a damaged package.
            if len(data) == len(content):
                self._drop(number, State.REJECTED)
            return
        assert known.state is State.UPLOADING
        assert data == content
        self.there.add(digest)

    def _accepted(self, number: int, version: int | None) -> None:
        known, manifest = self.sent[number], self.packages[number].manifest
        known.state = State.PENDING_REVIEW
        assert version is not None
        # A number means the same package for ever.
        named = self.versions.setdefault((manifest.concept, version), manifest.digest())
        assert named == manifest.digest()
        known.version = version

    def _drop(self, number: int, state: State) -> None:
        """The package lets its files go; those of others stay."""
        self.sent[number].state = state
        held = {
            digest
            for other, one in self.sent.items()
            if one.state in HOLDING
            for digest in self.packages[other].content
        }
        self.there &= held


def test_the_center_keeps_up_with_the_model_in_every_order_of_steps(
    tmp_path: Path, empty_data: Path
) -> None:
    packages = write_packages(tmp_path)
    run_state_machine_as_test(
        lambda: Uploads(packages, empty_data),
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            derandomize=True,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert REACHED["approvals"] > 5
    assert REACHED["fused"] > 5
    assert min(REACHED[state] for state in (State.PENDING_REVIEW, State.REJECTED)) > 5
    assert REACHED[State.WITHDRAWN] > 5
