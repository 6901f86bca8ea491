"""`evaluation`: versions that a center evaluates."""

from __future__ import annotations

import json

import pytest
from mos_protocol.errors import EDGES

RUNNING = {"state": "running", "progress": {"done": 8, "total": 24, "message": "sample the base"}}


def figures(class_word: float, own: float, fused: float) -> dict:
    means = {"class_word": class_word, "own": own, "fused": fused}
    return {name: {"mean": mean, "error": 0.01} for name, mean in means.items()}


DONE = {
    "state": "done",
    "progress": {"done": 24, "total": 24, "message": "done"},
    "result": {
        "seeds": 2,
        "concepts": [
            {
                "concept": "ada/ball@1",
                "text": figures(0.71, 0.7, 0.69),
                "identity": figures(0.5, 0.9, 0.8),
                "kept": 0.75,
            },
            {
                "concept": "ada/cube@1",
                "text": figures(0.71, 0.7, 0.69),
                "identity": figures(0.5, 0.5, 0.5),
                "kept": None,
            },
        ],
    },
}
FAILED = {
    "state": "failed",
    "error": {"code": "gone", "message": "ada/ball@1 was withdrawn.", "hint": "Fuse it anew."},
}


def test_a_request_sends_prompts_and_seeds_and_names_what_comes_next(ask, center):
    outcome = ask(
        "evaluation", "request", "demo@1", "--prompt", "a <TOK>", "--prompt", "two <TOK>",
        "--seeds", "3",
    )  # fmt: skip

    method, path, _, body = center.requests[-1]
    assert outcome.code == 0
    assert (method, path) == ("POST", "/v1/models/demo/1/evaluations")
    assert json.loads(body) == {"texts": ["a <TOK>", "two <TOK>"], "seeds": 3}
    assert "mos-client evaluation show e1 --wait" in outcome.out


def test_waiting_for_one_ends_with_its_figures(ask, center):
    center.evaluation_steps = [RUNNING, DONE]

    outcome = ask("evaluation", "request", "demo", "--wait")

    assert outcome.code == 0
    kept, untold = [line.split() for line in outcome.out.splitlines() if line.startswith("ada/")]
    assert kept == ["ada/ball@1", "75", "%", "0.500", "0.900", "0.800", "0.710", "0.700", "0.690"]
    assert untold[1] == "–"
    assert "evaluating:  33 %" in outcome.err


@pytest.mark.parametrize(
    ("end", "code"), [(FAILED, "gone"), ({"state": "cancelled"}, "job_failed")]
)
def test_one_that_does_not_come_to_figures_is_a_failure(ask, center, end, code):
    center.evaluation_steps = [end]

    outcome = ask("evaluation", "request", "demo", "--wait")

    assert outcome.code == EDGES[code].exit_code


def test_those_of_a_version_are_listed_and_one_is_shown_and_cancelled(ask, center):
    assert "evaluation request demo@1" in ask("evaluation", "list", "demo@1").out
    ask("evaluation", "request", "demo@1", "--prompts", "pet")

    listed = ask("evaluation", "list", "demo@1").out.splitlines()
    shown = ask("evaluation", "show", "e1", "--json").json
    cancelled = ask("evaluation", "cancel", "e1")

    assert listed[1].split()[:3] == ["e1", "demo@1", "queued"]
    assert shown["prompts"] == "pet"
    assert cancelled.code == 0
    assert center.evaluations["e1"]["state"] == "cancelled"


def test_a_number_of_seeds_that_no_center_takes_is_refused_here(ask, center):
    assert ask("evaluation", "request", "demo", "--seeds", "1").code == 2
    assert center.evaluations == {}
