"""`fuse` and `fusions`."""

from __future__ import annotations

import json

import pytest
from mos_center.domain import models
from mos_client.cli import fusions
from mos_client.cli.fusions import parse_weighted
from mos_client.session import PartWeights, WeightedConcept
from mos_protocol.errors import EDGES, InvalidRequest

RUNNING = {"state": "running", "progress": {"done": 1, "total": 2, "message": "text_encoder"}}
PUBLISHED = {"state": "published", "model_version": 3}
FAILED = {
    "state": "failed",
    "error": {"code": "job_failed", "message": "Moments are singular.", "hint": "Add a ridge."},
}
REQUEST = ("fuse", "demo", "--base", "tiny", "--concept", "ada/ball@1:0.5", "--concept", "ben/cat")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ada/ball", WeightedConcept("ada/ball", None)),
        ("ada/ball@3", WeightedConcept("ada/ball", 3)),
        ("ada/ball:0.5", WeightedConcept("ada/ball", None, PartWeights.uniform(0.5))),
        ("ada/ball@3:1e-1", WeightedConcept("ada/ball", 3, PartWeights.uniform(0.1))),
        (
            "ada/ball:text_encoder=0.5,spatial=0",
            WeightedConcept("ada/ball", None, PartWeights(0.5, 1, 0)),
        ),
    ],
)
def test_a_concept_may_have_a_version_and_weights(text, expected):
    assert parse_weighted(text) == expected


@pytest.mark.parametrize(
    "text",
    ["ball", "ada/ball:", "ada/ball:x", "ada/ball:unet=1", "ada/ball:nan", "ada/ball@x", "a/b@1@2"],
)
def test_a_malformed_concept_is_refused(text):
    with pytest.raises(InvalidRequest):
        parse_weighted(text)


def test_fuse_sends_concepts_versions_weights_and_solver(ask, center):
    outcome = ask(*REQUEST, "--solver", "lbfgs", "--prior-weight", "0.2")
    assert outcome.code == 0
    body = json.loads(center.requests[-1][3])
    assert [(item["version"], item["weight"]) for item in body["concepts"]] == [
        (1, 0.5),
        (None, 1.0),
    ]
    assert (body["solver"], body["prior_weight"]) == ("lbfgs", 0.2)
    assert "--wait" in outcome.out


def test_fuse_leaves_what_is_not_chosen_to_the_center(ask, center):
    ask(*REQUEST)
    left = {"fuse_method", "solver", "prior_weight", "previews"}
    assert not left & json.loads(center.requests[-1][3]).keys()


@pytest.mark.parametrize("method", ["gradient", "weight-average", "custom-diffusion", "none"])
def test_fuse_sends_the_fuse_method(ask, center, method):
    assert ask(*REQUEST, "--fuse-method", method).code == 0
    assert json.loads(center.requests[-1][3])["fuse_method"] == method


def test_fuse_sends_what_is_chosen_per_part_and_shows_it(ask, center):
    outcome = ask(
        *("fuse", "demo", "--base", "tiny", "--concept", "ada/ball@1:spatial=0.5"),
        *("--solver", "lbfgs", "--ridge", "0.01", "--ridge", "spatial=0.1"),
        *("--lbfgs-steps", "spatial=20", "--refine-rounds", "1"),
        *("--export", "kohya-lora", "--export", "single-file", "--no-previews"),
    )
    assert outcome.code == 0
    body = json.loads(center.requests[-1][3])
    assert body["concepts"][0]["weight"] == {"text_encoder": 1, "cross_kv": 1, "spatial": 0.5}
    assert body["ridge"] == {"text_encoder": 0.01, "cross_kv": 0.01, "spatial": 0.1}
    assert (body["lbfgs_steps"], body["refine_rounds"]) == ({"spatial": 20}, 1)
    assert (body["exports"], body["previews"]) == (["kohya-lora", "single-file"], False)
    shown = ask("fusions", next(iter(center.fusions))).out
    assert "ada/ball@1:text_encoder=1,cross_kv=1,spatial=0.5" in shown
    assert "spatial=0.1" in shown
    assert "kohya-lora  single-file" in shown


@pytest.mark.parametrize(
    "option",
    [
        ("--ridge", "unet=1"),
        ("--lbfgs-steps", "1.5"),
        ("--refine-rounds", "9"),
        ("--export", "onnx"),
        ("--concept", "ada/ball:heavy"),
    ],
)
def test_an_option_that_makes_no_sense_never_reaches_the_center(ask, center, option):
    outcome = ask(*REQUEST, *option)
    assert outcome.code == 2
    assert "Traceback" not in outcome.err
    assert center.requests == []


def test_every_choice_of_the_center_can_be_made():
    assert [*fusions.Solver] == [*models.Solver]
    assert [*fusions.Export] == [*models.Export]
    assert [*fusions.Priority] == [*models.Priority]


def test_fuse_and_wait_ends_with_the_version_to_pull(ask, center):
    center.fusion_steps = [RUNNING, PUBLISHED]
    outcome = ask(*REQUEST, "--wait")
    assert outcome.code == 0
    assert "demo@3 is published" in outcome.out
    assert "mos-client pull demo@3" in outcome.out
    assert "fusing: 100 % published" in outcome.err


def test_a_failed_fusion_is_an_error_with_the_centers_words(ask, center):
    center.fusion_steps = [RUNNING, FAILED]
    outcome = ask(*REQUEST, "--wait")
    assert outcome.code == EDGES["job_failed"].exit_code
    assert "error: Moments are singular.\n       Add a ridge." in outcome.err


def test_a_cancelled_fusion_is_an_error_when_waited_for(ask, center):
    center.fusion_steps = [{"state": "cancelled"}]
    assert ask(*REQUEST, "--wait").code == EDGES["job_failed"].exit_code


def test_an_unknown_solver_is_a_usage_error(ask, center):
    assert ask(*REQUEST, "--solver", "magic").code == 2
    assert center.requests == []


def test_fusions_lists_and_shows_one(ask, center):
    ask(*REQUEST)
    fusion_id = next(iter(center.fusions))
    assert fusion_id in ask("fusions").out
    assert "ada/ball@1:0.5" in ask("fusions", fusion_id).out
    assert ask("fusions", fusion_id, "--json").json["id"] == fusion_id


def test_a_fusion_can_be_waited_for_later(ask, center):
    ask(*REQUEST)
    center.fusion_steps = [RUNNING, RUNNING, PUBLISHED]
    outcome = ask("fusions", next(iter(center.fusions)), "--wait")
    assert "published" in outcome.out


def test_a_fusion_can_be_cancelled(ask, center):
    ask(*REQUEST)
    fusion_id = next(iter(center.fusions))
    assert ask("fusions", fusion_id, "--cancel", "--json").json["state"] == "cancelled"


def test_a_priority_is_asked_for_and_the_place_in_the_queue_is_shown(ask, center):
    ask(*REQUEST, "--priority", "low")
    assert json.loads(center.requests[-1][3])["priority"] == "low"
    fusion_id = next(iter(center.fusions))
    assert "number 3 in the queue" in ask("fusions").out
    center.fusions[fusion_id].update(queue_position=None, seconds_left=65, state="running")
    shown = ask("fusions", fusion_id).out
    assert "~1:05" in shown
    assert "low" in shown


def test_a_failed_fusion_can_be_tried_again(ask, center):
    ask(*REQUEST)
    fusion_id = next(iter(center.fusions))
    center.fusions[fusion_id].update(FAILED)
    assert "is queued" in ask("fusion", "retry", fusion_id).out
    assert ask("fusion", "cancel", fusion_id, "--json").json["state"] == "cancelled"


def test_waiting_needs_a_fusion_to_wait_for(ask):
    assert ask("fusions", "--wait").code == EDGES["invalid_request"].exit_code


def test_without_any_fusion_the_list_says_how_to_begin(ask):
    assert "mos-client fuse" in ask("fusions").out
