from __future__ import annotations

from collections.abc import Callable

import pytest
from callers import ADA, BOB, EVE
from center_steps import fuse, request, store
from mos_center.domain.access import LOCAL, Visibility
from mos_center.domain.lineage import VersionRef
from mos_center.domain.models import Fusion, Solver, Submission
from mos_center.domain.states import FusionState
from mos_center.opening import OpenedData
from mos_center.service.center import Center
from mos_center.service.fusion_requests import FusionRequest, WantedConcept
from mos_protocol.errors import Conflict, Gone, InvalidRequest, PermissionDenied
from mos_protocol.part_weights import PartWeights


@pytest.fixture
def both(submit: Callable[..., Submission], center: Center, data: OpenedData) -> Fusion:
    """bob's model of ada's potter and his own cat, published with settings of its own."""
    submit(concept="ada/potter", words=("<potter>",))
    submit(concept="bob/cat", words=("<cat>",))
    for owner, name in (("ada", "potter"), ("bob", "cat")):
        center.concepts.show(owner, name, Visibility.PUBLIC, caller=LOCAL)
    half = PartWeights.from_json(0.5)
    wanted = [WantedConcept("ada/potter", 1), WantedConcept("bob/cat", 1, half)]
    fusion, _ = center.fusions.request(
        FusionRequest("both", "small", wanted, solver=Solver.AVERAGE, previews=True), caller=BOB
    )
    return publish(data, fusion)


def publish(data: OpenedData, fusion: Fusion) -> Fusion:
    data.ledger().started(fusion.id)
    data.ledger().publish(fusion.id, [store(data, "weights.bin", fusion.id.encode())], {})
    return fusion


def withdraw(center: Center, owner: str, name: str) -> None:
    center.withdrawal.withdraw(owner, name, 1, "asked to", caller=LOCAL)


def test_what_is_left_is_fused_with_the_same_settings(
    center: Center, data: OpenedData, both: Fusion
) -> None:
    withdraw(center, "ada", "potter")

    fusion, made = center.refusion.request("both", "1", caller=BOB)

    assert (made, fusion.state, fusion.model) == (True, FusionState.QUEUED, "both")
    assert [item.ref for item in fusion.concepts] == ["bob/cat@1"]
    assert fusion.concepts[0].weights == both.concepts[1].weights
    assert (fusion.solver, fusion.previews) == (Solver.AVERAGE, True)
    assert center.refusion.request("both", "1", caller=BOB) == (fusion, False)
    publish(data, fusion)
    lineage = center.lineage.of_version("both", "2", caller=BOB)
    assert (lineage.predecessor, lineage.refusion_of) == (1, VersionRef("both", 1))
    before = center.lineage.of_version("both", "1", caller=BOB)
    assert before.refusions == (VersionRef("both", 2),)
    assert center.models.get("both", "latest", caller=BOB).version == 2


def test_nothing_is_left_out_when_nothing_was_withdrawn(center: Center, both: Fusion) -> None:
    with pytest.raises(Conflict, match="No concept of both@1 was withdrawn"):
        center.refusion.request("both", "1", caller=BOB)


def test_nothing_is_fused_when_nothing_is_left(center: Center, both: Fusion) -> None:
    withdraw(center, "ada", "potter")
    withdraw(center, "bob", "cat")

    with pytest.raises(InvalidRequest, match="Every concept of both@1 was withdrawn"):
        center.refusion.request("both", "1", caller=BOB)


def test_a_model_is_its_owners_to_fuse_again(center: Center, both: Fusion) -> None:
    withdraw(center, "ada", "potter")

    for caller in (ADA, EVE):
        with pytest.raises(PermissionDenied, match="'both' belongs to bob"):
            center.refusion.request("both", "1", caller=caller)


def test_a_tombstoned_build_is_not_given_for_the_same_request(
    center: Center, data: OpenedData, both: Fusion
) -> None:
    fuse(center, data, "cats", ["bob/cat@1"])
    center.models.tombstone("cats", "1", "wrong weights", caller=LOCAL)

    with pytest.raises(Gone, match=r"This build is cats@1.*wrong weights"):
        request(center, "cats", ["bob/cat@1"])
    assert request(center, "cats-again", ["bob/cat@1"]).state is FusionState.QUEUED
