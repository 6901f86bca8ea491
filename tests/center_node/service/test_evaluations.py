"""Evaluations of versions: who may ask and look, what a worker is told, and what goes when."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from callers import ADA, BOB, EVE, RITA
from center_steps import fuse, store, stored
from mos_center.domain.access import LOCAL, Visibility
from mos_center.domain.evaluations import Evaluation, EvaluationRequest, EvaluationState
from mos_center.domain.jobs import EVALUATION, other_job
from mos_center.domain.models import Priority, StoredFile, Submission
from mos_center.domain.policy import Policy, Withdrawal
from mos_center.opening import OpenedData
from mos_center.service.center import Center, assemble
from mos_center.service.evaluation_ledger import EvaluationLedgerService
from mos_center.service.garbage import GarbageService
from mos_center.settings import Settings
from mos_protocol.errors import (
    Conflict,
    Gone,
    InvalidRequest,
    JobFailed,
    NotFound,
    PermissionDenied,
    QuotaExceeded,
    Unavailable,
)

RESULT = {"concepts": [{"concept": "ada/potter@1", "kept": 0.9}]}
WANTED = EvaluationRequest(seeds=3)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"evaluation_clip": "some/clip"})


@pytest.fixture
def ledger(data: OpenedData) -> EvaluationLedgerService:
    return data.evaluation_ledger()


@pytest.fixture(autouse=True)
def both(center: Center, data: OpenedData, submit: Callable[..., Submission]) -> None:
    """`both@1` of ada's potter and bob's cat, which everybody sees, and `potters@1` of potter."""
    for concept, word in (("ada/potter", "<potter>"), ("bob/cat", "<cat>")):
        submit(concept=concept, words=(word,))
        center.concepts.show(*concept.split("/"), Visibility.PUBLIC, caller=LOCAL)
    fuse(center, data, "both", ["ada/potter@1", "bob/cat@1"], ADA)
    fuse(center, data, "potters", ["ada/potter@1"], ADA)


def requested(
    center: Center, model: str = "both", wanted: EvaluationRequest = WANTED
) -> Evaluation:
    return center.evaluations.request(model, "1", wanted, caller=ADA)[0]


def grid(data: OpenedData, name: str) -> StoredFile:
    file = store(data, "grid.png", name.encode())
    return StoredFile(file.sha256, file.size)


def finished(center: Center, data: OpenedData, model: str = "both") -> Evaluation:
    """An evaluation that is done, with a grid per concept."""
    evaluation = requested(center, model)
    ledger = data.evaluation_ledger()
    count = 2 if model == "both" else 1
    grids = {number: grid(data, f"{evaluation.id} {number}") for number in range(count)}
    ledger.done(evaluation.id, RESULT, grids)
    return center.evaluations.get(evaluation.id, caller=ADA)


def test_a_worker_is_told_the_version_and_its_packages(
    center: Center, ledger: EvaluationLedgerService, queue
) -> None:
    evaluation = requested(center)

    plan = ledger.begin(evaluation.id)

    assert queue.enqueued[-1] == other_job(EVALUATION, evaluation.id)
    assert [job.priority for job in ledger.unfinished()] == [Priority.LOW]
    assert plan is not None
    assert plan.evaluation.state is EvaluationState.RUNNING
    assert plan.evaluation.started_at is not None
    assert plan.evaluation.request == WANTED
    assert [concept.ref for concept in plan.concepts] == ["ada/potter@1", "bob/cat@1"]
    assert [file.path for file in plan.version.files] == ["weights.bin"]


def test_what_came_of_it_is_shown_with_the_version_and_stays(
    center: Center, data: OpenedData, ledger: EvaluationLedgerService
) -> None:
    evaluation = requested(center)
    ledger.begin(evaluation.id)
    assert ledger.progress(evaluation.id, 4, 8, "sample the base")
    ledger.done(evaluation.id, RESULT, {0: grid(data, "one")})
    ledger.failed(evaluation.id, JobFailed("Too late."))

    shown = center.evaluations.shown("both", "1", caller=EVE)

    assert shown.newest == shown.done
    assert shown.done is not None
    assert (shown.done.state, shown.done.result) == (EvaluationState.DONE, RESULT)
    assert set(shown.done.grids or ()) == {0}
    assert not ledger.progress(evaluation.id, 8, 8, "more")
    assert ledger.begin(evaluation.id) is None
    assert ledger.unfinished() == ()
    (listed,) = center.evaluations.of_version("both", "1", caller=EVE, limit=10)
    assert (listed.id, listed.result) == (evaluation.id, None)
    entries = center.audit.entries(caller=LOCAL, after=0, limit=100)
    told = [one.event for one in entries if one.event.resource == f"evaluation/{evaluation.id}"]
    assert [(one.actor, one.action) for one in told] == [
        ("ada", "evaluation.requested"),
        ("system", "evaluation.done"),
    ]


def test_an_earlier_result_stays_beside_what_runs_now(center: Center, data: OpenedData) -> None:
    first = finished(center, data)
    second = requested(center)

    shown = center.evaluations.shown("both", "1", caller=ADA)

    assert (shown.newest and shown.newest.id, shown.done and shown.done.id) == (
        second.id,
        first.id,
    )


def test_the_same_again_while_it_waits_is_the_same_and_anything_else_a_conflict(
    center: Center,
) -> None:
    first, made = center.evaluations.request("both", "1", WANTED, caller=ADA)
    again, made_again = center.evaluations.request("both", "latest", WANTED, caller=BOB)

    assert (made, made_again, again.id) == (True, False, first.id)
    with pytest.raises(Conflict, match="other prompts or seeds"):
        center.evaluations.request("both", "1", EvaluationRequest(seeds=4), caller=ADA)


def test_a_member_has_few_unfinished_ones(center: Center, data: OpenedData) -> None:
    for number in range(5):
        fuse(center, data, f"model-{number}", ["ada/potter@1"], ADA)
    for number in range(4):
        requested(center, f"model-{number}")

    with pytest.raises(QuotaExceeded, match="4 unfinished evaluations"):
        requested(center, "model-4")


def test_a_center_without_a_clip_refuses_and_names_the_setting(
    data: OpenedData, queue, center: Center
) -> None:
    plain = assemble(data.database, data.blobs, queue, None, Policy())  # type: ignore[arg-type]

    with pytest.raises(Conflict, match="MOS_EVALUATION_CLIP"):
        plain.evaluations.request("both", "1", WANTED, caller=ADA)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (EvaluationRequest(seeds=1), "1 seeds"),
        (EvaluationRequest(seeds=51), "51 seeds"),
        (EvaluationRequest(texts=("a cat",)), "Prompt 1 does not name the concept"),
        (EvaluationRequest(texts=("a <TOK>", "<TOK>" + "x" * 300)), "Prompt 2 has 305"),
        (EvaluationRequest(texts=tuple(f"<TOK> {n}" for n in range(21))), "21 prompts"),
        (EvaluationRequest(texts=("a <TOK>", "a <TOK>")), "twice"),
        (EvaluationRequest(texts=("a <TOK>\nb",)), "character"),
        (EvaluationRequest(texts=("a <TOK>\x00",)), "character"),
        (EvaluationRequest("pet", ("a <TOK>",)), "the set 'pet' too"),
        (EvaluationRequest("../pet"), "no name of a set"),
    ],
)
def test_a_request_that_nobody_can_sample_is_refused(
    center: Center, wanted: EvaluationRequest, message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message):
        requested(center, wanted=wanted)


def test_who_may_not_see_every_concept_may_neither_ask_nor_see_pictures(
    center: Center, data: OpenedData
) -> None:
    evaluation = finished(center, data)
    center.concepts.show("bob", "cat", Visibility.PRIVATE, caller=LOCAL)

    # ada requested the fusion, and may read what became of it.
    assert center.evaluations.get(evaluation.id, caller=ADA).result == RESULT
    assert center.evaluations.grid(evaluation.id, 0, caller=ADA)
    with pytest.raises(NotFound):
        center.evaluations.grid(evaluation.id, 1, caller=ADA)
    with pytest.raises(PermissionDenied):
        requested(center)
    with pytest.raises(NotFound):
        center.evaluations.get(evaluation.id, caller=EVE)
    assert center.evaluations.grid(evaluation.id, 1, caller=RITA)


def test_a_cancelled_one_is_not_worked_on_any_more(
    center: Center, ledger: EvaluationLedgerService
) -> None:
    evaluation = requested(center)
    ledger.begin(evaluation.id)
    with pytest.raises(PermissionDenied):
        center.evaluations.cancel(evaluation.id, caller=BOB)

    center.evaluations.cancel(evaluation.id, caller=ADA)

    assert center.evaluations.cancel(evaluation.id, caller=RITA).state is EvaluationState.CANCELLED
    assert not ledger.progress(evaluation.id, 1, 8, "sample the base")
    assert ledger.begin(evaluation.id) is None


def test_one_that_is_done_can_not_be_cancelled(center: Center, data: OpenedData) -> None:
    evaluation = finished(center, data)

    with pytest.raises(Conflict, match="is done"):
        center.evaluations.cancel(evaluation.id, caller=ADA)


def test_pictures_that_are_not_in_the_store_are_not_written_down(
    center: Center, data: OpenedData, ledger: EvaluationLedgerService
) -> None:
    evaluation = requested(center)
    lost = grid(data, "lost")
    data.blobs.delete(lost.sha256)

    with pytest.raises(Unavailable):
        ledger.done(evaluation.id, RESULT, {0: lost})

    assert center.evaluations.get(evaluation.id, caller=ADA).state is EvaluationState.QUEUED


def test_a_withdrawn_concept_takes_its_pictures_with_it_and_ends_what_runs(
    center: Center, data: OpenedData, queue, settings: Settings, ledger: EvaluationLedgerService
) -> None:
    policy = Policy(withdrawal=Withdrawal.KEEP, evaluations=settings.policy.evaluations)
    keeping = assemble(data.database, data.blobs, queue, None, policy)  # type: ignore[arg-type]
    done = finished(keeping, data)
    mine, others = (done.grids or {})[0], (done.grids or {})[1]
    running = requested(keeping)
    ledger.begin(running.id)

    keeping.withdrawal.withdraw("ada", "potter", 1, "asked to", caller=ADA)

    assert mine.sha256 not in stored(data)
    assert others.sha256 in stored(data)
    with pytest.raises(Gone, match="ada/potter@1 was withdrawn"):
        keeping.evaluations.grid(done.id, 0, caller=ADA)
    assert keeping.evaluations.grid(done.id, 1, caller=ADA) == others
    with pytest.raises(Gone):
        ledger.progress(running.id, 1, 8, "sample the base")
    with pytest.raises(Gone):
        requested(keeping, wanted=EvaluationRequest(seeds=5))


def test_a_tombstoned_versions_pictures_are_not_given_out_and_go_with_its_files(
    center: Center, data: OpenedData, ledger: EvaluationLedgerService
) -> None:
    done, waiting = finished(center, data, "potters"), requested(center)
    center.models.tombstone("potters", "1", "no", caller=LOCAL)
    center.models.tombstone("both", "1", "no", caller=LOCAL)
    picture = (done.grids or {})[0].sha256

    with pytest.raises(Gone):
        center.evaluations.grid(done.id, 0, caller=ADA)
    with pytest.raises(Gone):
        ledger.begin(waiting.id)
    assert picture in stored(data)
    center.models.release(datetime.now(UTC) + timedelta(days=1))

    assert picture not in stored(data)
    # Figures stay when pictures are not given out any more.
    assert center.evaluations.get(done.id, caller=ADA).result == RESULT


def test_pictures_that_are_referred_to_are_no_garbage(center: Center, data: OpenedData) -> None:
    done = finished(center, data)
    pictures = {file.sha256 for file in (done.grids or {}).values()}
    garbage = GarbageService(data.database, data.blobs, timedelta(days=-1))

    assert garbage.collect(caller=LOCAL).blobs == 0

    assert pictures <= stored(data)
    with data.database.read() as transaction:
        needed = transaction.blobs.needed()
    assert all(needed[digest] for digest in pictures)
