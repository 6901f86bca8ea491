"""`join`, `whoami`, `logout`, `centers`: a newcomer needs one command, and no option afterwards."""

from __future__ import annotations

import json

import pytest
import trustme
from fake_center import TOKEN, FakeCenter
from mos_protocol.errors import EDGES

JOIN = "mos_join_secret"


@pytest.fixture(autouse=True)
def invited(center) -> None:
    center.join_tokens[JOIN] = "ada"


def test_joining_saves_all_that_later_commands_need(run, center, config):
    outcome = run("join", center.url, JOIN)
    assert outcome.code == 0
    assert f"You are ada (member) at {center.url}. It answers REST and gRPC." in outcome.out
    assert "tiny" in outcome.out
    assert "mos-client tune" in outcome.out
    assert TOKEN not in outcome.out + outcome.err
    assert TOKEN in (config / "credentials.json").read_text()
    assert run("bases").code == 0
    assert run("whoami", "--json").json["member"] == "ada"


def test_a_newcomer_may_choose_a_name(run, center):
    center.join_tokens[JOIN] = ""
    assert run("join", center.url, JOIN, "--name", "eve", "--json").json["member"] == "eve"
    body = json.loads(next(body for _, path, _, body in center.requests if path == "/v1/join"))
    assert body == {"token": JOIN, "name": "eve"}


def test_what_is_given_goes_before_what_was_saved(run, center):
    run("join", center.url, JOIN)
    assert run("bases", "--token", "wrong").code == EDGES["unauthenticated"].exit_code
    assert run("bases", "--center", "http://127.0.0.1:9").code == EDGES["unavailable"].exit_code


def test_a_saved_token_goes_to_its_own_center_only(run, center):
    run("join", center.url, JOIN)
    before = len(center.requests)
    other = center.url.replace("127.0.0.1", "localhost")
    assert run("bases", "--center", other).code == EDGES["unauthenticated"].exit_code
    assert all("Authorization" not in headers for _, _, headers, _ in center.requests[before:])


def test_a_join_token_that_was_used_says_so_and_saves_nothing(run, center, config):
    run("join", center.url, JOIN)
    (config / "credentials.json").unlink()
    outcome = run("join", center.url, JOIN)
    assert outcome.code == EDGES["unauthenticated"].exit_code
    assert "joined with this token already" in outcome.err
    assert not (config / "credentials.json").exists()


def test_after_a_lost_answer_an_api_token_joins_as_well(run, center):
    center.lost_answers = 1
    assert run("join", center.url, JOIN).code == EDGES["unauthenticated"].exit_code
    outcome = run("join", center.url, TOKEN)
    assert outcome.code == 0
    assert run("whoami", "--json").json["token_id"] == "t0"


def test_nothing_is_spent_where_nothing_can_be_saved(run, center, config):
    config.parent.joinpath("mos-client").write_text("a file where the folder should be")
    assert run("join", center.url, JOIN).code == EDGES["internal"].exit_code
    assert JOIN in center.join_tokens


def test_an_upload_service_that_can_not_be_reached_is_told_and_the_token_is_kept(run, center):
    center.grpc_told = "127.0.0.1:9"
    outcome = run("join", center.url, JOIN)
    assert outcome.code == EDGES["unavailable"].exit_code
    assert "You are ada" in outcome.err
    assert "127.0.0.1:9" in outcome.err
    assert run("bases").code == 0


def test_several_centers_are_kept_and_one_is_the_default(run, center):
    run("join", center.url, JOIN)
    other = center.url.replace("127.0.0.1", "localhost")
    run("join", other, TOKEN)
    listed = run("centers", "--json").json
    assert [(item["center"], item["default"]) for item in listed] == [
        (center.url, False),
        (other, True),
    ]
    chosen = run("centers", "--use", center.url, "--json").json
    assert [item["default"] for item in chosen] == [True, False]


def test_logging_out_forgets_the_center_and_says_that_the_token_lives_on(run, center):
    run("join", center.url, JOIN)
    assert "still good" in run("logout").out
    assert run("bases").err.startswith("error: No center is named.")
    assert run("logout").code == EDGES["not_found"].exit_code


def test_logging_out_can_end_the_token_too(run, center):
    run("join", center.url, JOIN)
    assert run("logout", center.url, "--revoke").code == 0
    assert ("DELETE", "/v1/tokens/t0") in [(method, path) for method, path, *_ in center.requests]


def test_whoami_shows_scopes_and_what_is_left(ask):
    out = ask("whoami").out
    assert "concept:read concept:write" in out
    assert "2 of 10" in out
    assert "1.5 kB" in out


def test_without_any_center_the_list_says_how_to_join(run):
    assert "mos-client join" in run("centers").out


def test_joining_a_center_with_its_own_ca_keeps_the_ca(run, tmp_path):
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    files = {name: tmp_path / name for name in ("ca.pem", "center.pem", "center.key")}
    files["ca.pem"].write_bytes(authority.cert_pem.bytes())
    files["center.pem"].write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    files["center.key"].write_bytes(issued.private_key_pem.bytes())
    center = FakeCenter(cert=files["center.pem"], key=files["center.key"])
    center.join_tokens[JOIN] = "ada"
    center.start()
    assert "can't be trusted" in run("join", center.url, JOIN).err
    assert run("join", center.url, JOIN, "--ca", files["ca.pem"]).code == 0
    files["ca.pem"].unlink()
    assert run("bases").code == 0
    center.stop()
