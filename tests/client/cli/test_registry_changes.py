"""`token`, `concept`, `model`, `review`, `member`, `invite`: what changes things at a center."""

from __future__ import annotations

import json

import pytest
from mos_center.domain import access
from mos_client.cli import concepts, members, tokens
from mos_protocol.errors import EDGES
from mos_protocol.wire.v1 import submissions_pb2 as pb


def test_every_choice_of_the_center_can_be_made():
    assert [*tokens.Scope] == [*access.Scope]
    assert [*members.Role] == [*access.Role]
    assert [*concepts.Visibility] == [*access.Visibility]


def test_a_token_is_printed_alone_listed_without_it_and_revoked(ask, center):
    made = ask("token", "create", "laptop", "--scope", "model:read", "--days", "1.5")
    assert made.out == "mos_new\n"
    body = json.loads(center.requests[-1][3])
    assert body == {"name": "laptop", "scopes": ["model:read"], "expires_in_days": 1.5}
    listed = ask("token", "list").out
    assert "laptop" in listed
    assert "mos_new" not in listed
    assert ask("token", "revoke", "t1").code == 0
    assert "token create" in ask("token", "list").out


def test_a_concept_is_shown_with_who_sees_it(ask, center):
    center.add_concept("ada/ball", 2)
    center.shares["ada/ball"] = ["ben"]
    out = ask("concept", "show", "ada/ball").out
    assert "private" in out
    assert "ben" in out
    assert "ada/ball@2" in out


def test_who_sees_a_concept_can_be_changed(ask, center):
    center.add_concept("ada/ball")
    assert "every member" in ask("concept", "visibility", "ada/ball", "public").out
    ask("concept", "visibility", "ada/ball", "shared")
    assert "seen by ben" in ask("concept", "share", "ada/ball", "ben").out
    assert "nobody yet" in ask("concept", "unshare", "ada/ball", "ben").out
    assert ask("concept", "visibility", "ada/ball", "secret").code == 2


def test_a_withdrawn_concept_names_the_models_and_how_to_fuse_them_again(ask, center):
    center.add_concept("ada/ball")
    center.add_model("demo", {})
    outcome = ask("concept", "withdraw", "ada/ball@1", "--reason", "no consent")
    assert outcome.code == 0
    assert "part of demo@1" in outcome.out
    assert "mos-client model refusion demo@1" in outcome.out
    assert center.concepts[0]["reason"] == "no consent"
    assert ask("concept", "withdraw", "ada/ball@1").code == 2


def test_models_with_a_concept_are_listed(ask, center):
    center.add_model("demo", {})
    assert "demo@1" in ask("concept", "models", "ada/ball@1").out


def test_an_alias_is_set_and_rolled_back(ask, center):
    center.add_model("demo", {})
    center.add_model("demo", {})
    assert "demo@champion is demo@1." in ask("model", "alias", "demo", "champion", 1).out
    ask("model", "alias", "demo", "champion", 2)
    assert "demo@champion is demo@1 again." in ask("model", "rollback", "demo", "champion").out


def test_the_lineage_of_a_model_shows_how_its_concepts_stand_now(ask, center):
    center.add_model("demo", {})
    out = ask("model", "lineage", "demo@1").out
    assert "ada/ball@1" in out
    assert "withdrawn" in out


def test_a_model_is_fused_again_without_what_was_withdrawn(ask, center):
    center.add_model("demo", {})
    assert "mos-client fusions" in ask("model", "refusion", "demo@1").out


@pytest.fixture
def waiting(center) -> str:
    center.submissions["s1"] = pb.SubmissionStatus(
        submission_id="s1", state=pb.SUBMISSION_STATE_PENDING_REVIEW, concept="ben/cat", version=1
    )
    return "s1"


def test_a_curator_lists_what_waits_and_decides(ask, center, waiting):
    assert "ben/cat@1" in ask("review", "list").out
    assert "approved" in ask("review", "approve", waiting).out
    assert "No submission is pending review" in ask("review", "list").out
    assert ask("review", "reject", waiting).code == 2
    assert "rejected" in ask("review", "reject", waiting, "--reason", "no consent").out
    assert center.submissions[waiting].reason == "no consent"


def test_an_admin_lists_members_and_invites_newcomers(ask, center):
    assert "ada" in ask("member", "list").out
    out = ask("invite", "--role", "curator", "--hours", 2).out
    assert f"mos-client join {center.url} mos_join_new --name NAME" in out
    assert json.loads(center.requests[-1][3]) == {
        "role": "curator",
        "trusted": False,
        "expires_in_hours": 2.0,
    }
    assert "--name" not in ask("invite", "ben").out


def test_a_package_is_submitted_with_who_shall_see_it(ask, center, package):
    assert ask("submit", package, "--visibility", "shared").code == 0
    assert center.visibilities == {"ada/ball": "shared"}
    assert ask("submit", package).code == 0
    assert center.visibilities == {"ada/ball": "shared"}


def test_a_reference_that_makes_no_sense_never_reaches_the_center(ask, center):
    for command in (("concept", "show", "ball"), ("model", "lineage", "a/b")):
        assert ask(*command).code == EDGES["invalid_name"].exit_code
    assert center.requests == []
