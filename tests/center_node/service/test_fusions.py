from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from concept_packages import small_layer_map
from mos_center.domain.access import LOCAL
from mos_center.domain.models import Export, Fusion, Solver, Submission
from mos_center.domain.solving import DEFAULT_RIDGE, DEFAULT_STEPS
from mos_center.domain.states import FusionState
from mos_center.opening import OpenedData
from mos_center.service.center import Center
from mos_center.service.fusion_requests import FusionRequest, WantedConcept
from mos_protocol.errors import InvalidName, InvalidRequest, JobFailed, NotFound
from mos_protocol.layer_map import Part
from mos_protocol.part_weights import PartWeights


@pytest.fixture
def potter(submit: Callable[..., Submission]) -> Submission:
    return submit(concept="ada/potter", words=("<potter1>", "<potter2>"))


@pytest.fixture
def cat(submit: Callable[..., Submission]) -> Submission:
    return submit(concept="bob/cat", words=("<cat1>", "<cat2>"))


def wanted(*names: str, model: str = "demo", **options: Any) -> FusionRequest:
    concepts = [WantedConcept(name) for name in names]
    return FusionRequest(model=model, base="small", concepts=concepts, **options)


def ask(center: Center, request: FusionRequest, **options: Any) -> tuple[Fusion, bool]:
    return center.fusions.request(request, caller=LOCAL, **options)


def test_a_requested_fusion_is_recorded_and_queued(
    center: Center, queue: Any, potter: Submission, cat: Submission
) -> None:
    fusion, made = ask(center, wanted("ada/potter", "bob/cat", ridge={Part.CROSS_KV: 0.1}))

    assert made
    assert fusion.state is FusionState.QUEUED
    assert [concept.ref for concept in fusion.concepts] == ["ada/potter@1", "bob/cat@1"]
    assert queue.enqueued == [fusion.id]
    assert center.fusions.get(fusion.id, caller=LOCAL) == fusion


def test_the_same_request_gets_the_same_fusion(
    center: Center, potter: Submission, cat: Submission
) -> None:
    first, _ = ask(center, wanted("ada/potter", "bob/cat"))

    assert ask(center, wanted("ada/potter", "bob/cat")) == (first, False)
    assert ask(center, wanted("bob/cat", "ada/potter"))[1]
    assert ask(center, wanted("ada/potter", "bob/cat", solver=Solver.LBFGS))[1]
    assert ask(center, wanted("ada/potter", "bob/cat", model="other"))[1]


def test_a_request_with_the_defaults_spelled_out_gets_the_same_fusion(
    center: Center, potter: Submission
) -> None:
    first, _ = ask(center, wanted("ada/potter", solver=Solver.LBFGS))
    spelled_out = FusionRequest(
        "demo",
        "small",
        [WantedConcept("ada/potter", 1, PartWeights(1, 1, 1))],
        solver=Solver.LBFGS,
        prior_weight=0,
        ridge=dict(DEFAULT_RIDGE),
        lbfgs_steps=dict(DEFAULT_STEPS),
        refine_rounds=0,
        exports=[],
    )

    assert ask(center, spelled_out) == (first, False)


def test_what_was_asked_for_is_kept_with_the_fusion(center: Center, potter: Submission) -> None:
    weights = PartWeights(text_encoder=0.5, cross_kv=1, spatial=0)
    request = FusionRequest(
        "demo",
        "small",
        [WantedConcept("ada/potter", weights=weights)],
        solver=Solver.LBFGS,
        ridge={Part.SPATIAL: 0.1},
        lbfgs_steps={Part.SPATIAL: 9},
        refine_rounds=2,
        exports=[Export.SINGLE_FILE, Export.KOHYA_LORA],
    )

    fusion = center.fusions.get(ask(center, request)[0].id, caller=LOCAL)

    assert fusion.concepts[0].weights == weights
    assert fusion.ridge == {**DEFAULT_RIDGE, Part.SPATIAL: 0.1}
    assert fusion.lbfgs_steps == {**DEFAULT_STEPS, Part.SPATIAL: 9}
    assert fusion.refine_rounds == 2
    assert fusion.exports == (Export.KOHYA_LORA, Export.SINGLE_FILE)


def test_a_fusion_that_solves_nothing_has_no_ridge_steps_or_prior(
    center: Center, potter: Submission
) -> None:
    fusion, _ = ask(center, wanted("ada/potter", solver=Solver.SUM, ridge={Part.SPATIAL: 1.0}))

    assert ask(center, wanted("ada/potter", solver=Solver.SUM)) == (fusion, False)
    assert (fusion.ridge, fusion.lbfgs_steps, fusion.prior_weight) == (None, None, 0.0)


def test_identical_requests_at_once_make_one_fusion(
    center: Center, potter: Submission, cat: Submission
) -> None:
    answers: list[tuple[Fusion, bool]] = []
    threads = [
        threading.Thread(target=lambda: answers.append(ask(center, wanted("ada/potter"))))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({fusion.id for fusion, _ in answers}) == 1
    assert sum(made for _, made in answers) == 1


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_a_request_whose_fusion_failed_or_was_cancelled_is_fused_anew(
    center: Center, data: OpenedData, potter: Submission, end: str
) -> None:
    first, _ = ask(center, wanted("ada/potter"))
    if end == "failed":
        data.ledger().failed(first.id, JobFailed("The worker ran out of memory."))
    else:
        center.fusions.cancel(first.id, LOCAL)

    second, made = ask(center, wanted("ada/potter"))

    assert made
    assert second.id != first.id


def test_without_a_version_the_newest_approved_one_is_taken(
    center: Center, submit: Callable[..., Submission]
) -> None:
    submit(), submit()

    fusion, _ = ask(center, wanted("ada/potter"))

    assert fusion.concepts[0].version == 2


def test_concepts_that_share_a_word_are_not_fused(
    center: Center, potter: Submission, submit: Callable[..., Submission]
) -> None:
    submit(concept="eve/fake", words=("<potter1>",))

    with pytest.raises(InvalidRequest, match=r"ada/potter@1 and eve/fake@1 share the word <pot"):
        ask(center, wanted("ada/potter", "eve/fake"))


@pytest.mark.parametrize(
    ("request_of", "kind", "message"),
    [
        (lambda: wanted("ada/nobody"), NotFound, "no concept ada/nobody"),
        (lambda: wanted(), InvalidRequest, "0 concepts"),
        (lambda: wanted("potter"), InvalidName, "names no concept"),
        (lambda: wanted("ada/potter", model="No Model"), InvalidName, "no valid model name"),
        (lambda: wanted("ada/potter", prior_weight=0.5), InvalidRequest, "no prior moments"),
        (lambda: wanted("ada/potter", prior_weight=float("nan")), InvalidRequest, "nan"),
        (lambda: wanted("ada/potter", ridge={Part.SPATIAL: -1}), InvalidRequest, "ridge.spatial"),
        (lambda: wanted("ada/potter", lbfgs_steps={Part.SPATIAL: 0}), InvalidRequest, "lbfgs_st"),
        (lambda: wanted("ada/potter", refine_rounds=9), InvalidRequest, "refine_rounds is 9"),
        (lambda: WantedConcept("ada/potter", 1, PartWeights.uniform(0)), InvalidRequest, "weight"),
        (lambda: WantedConcept("ada/potter", 1, PartWeights.uniform(101)), InvalidRequest, "101"),
        (lambda: WantedConcept("ada/potter", 1, PartWeights(-1, 1, 1)), InvalidRequest, "weight"),
        (
            lambda: FusionRequest("demo", "sd15", [WantedConcept("ada/potter")]),
            NotFound,
            "no base 'sd15'",
        ),
    ],
)
def test_a_request_that_cannot_be_met_is_refused(
    center: Center, potter: Submission, request_of: Any, kind: type, message: str
) -> None:
    with pytest.raises(kind, match=message):
        ask(center, request_of())


def test_concepts_of_another_base_are_not_fused(
    center: Center, potter: Submission, tmp_path: Path
) -> None:
    center.bases.add("other", tmp_path, small_layer_map("cd" * 32), {})

    with pytest.raises(InvalidRequest, match="was tuned on base 'small', not 'other'"):
        ask(center, FusionRequest("demo", "other", [WantedConcept("ada/potter")]))


def test_cancelling_tells_the_queue_and_is_idempotent(
    center: Center, queue: Any, potter: Submission
) -> None:
    fusion, _ = ask(center, wanted("ada/potter"))

    cancelled = center.fusions.cancel(fusion.id, LOCAL)

    assert center.fusions.cancel(fusion.id, LOCAL) == cancelled
    assert cancelled.state is FusionState.CANCELLED
    assert cancelled.finished_at is not None
    assert set(queue.cancelled) == {fusion.id}
