"""A session with a center: what it asks, what it gives back, how failures are told."""

from __future__ import annotations

import json

import pytest
from fake_center import TOKEN
from mos_client import Backoff, FusionState, PartWeights, Session, WeightedConcept
from mos_protocol.errors import (
    InvalidName,
    InvalidRequest,
    MosError,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from mos_protocol.layer_map import Part
from tiny_package import write_package


def test_the_token_never_shows_in_the_text_of_a_session(session):
    assert TOKEN not in repr(session)
    assert "***" in repr(session)


def test_a_center_tells_its_version_and_addresses(session, center):
    info = session.center()
    assert (info.version, info.grpc) == ("0.1.0", f"127.0.0.1:{center.grpc_port}")


def test_a_wrong_token_is_told_as_the_center_tells_it(center):
    with Session(center.url, "wrong") as session, pytest.raises(Unauthenticated) as caught:
        session.center()
    assert (caught.value.message, caught.value.hint) == ("No valid token came.", "Ask for one.")


def test_an_absent_center_is_unavailable_with_what_to_do(center):
    center.stop()
    with Session(center.url, TOKEN) as session, pytest.raises(Unavailable) as caught:
        session.center()
    center.start()
    assert center.url in caught.value.message
    assert "mos-center serve" in caught.value.hint


@pytest.mark.parametrize("text", ["", "ftp://host", "http://", "http://:80", "ht tp://x"])
def test_what_is_no_address_is_refused_at_once(text):
    with pytest.raises(InvalidRequest):
        Session(text)


def test_an_address_without_a_scheme_is_plain_http(center):
    with Session(f"127.0.0.1:{center.port}/", TOKEN) as session:
        assert session.center().version == "0.1.0"


def test_bases_come_with_their_layer_maps(session, center):
    assert [base.name for base in session.bases()] == ["tiny"]
    assert session.base("tiny").layer_map == center.layer_map


def test_what_the_center_does_not_have_is_not_found(session):
    with pytest.raises(NotFound):
        session.base("nowhere")
    with pytest.raises(NotFound):
        session.model("nothing@3")


def test_concepts_are_listed_over_all_pages_and_filtered(session, center):
    for number in range(5):
        center.add_concept(f"ada/ball{number}")
    center.add_concept("ben/cat")
    assert len(session.concepts()) == 6
    assert [concept.ref for concept in session.concepts(owner="ben")] == ["ben/cat@1"]


def test_a_fusion_request_names_versions_and_weights(session, center):
    center.add_concept("ada/ball", 4)
    fusion = session.request_fusion(
        "demo",
        "tiny",
        ["ada/ball", "ada/ball@1", WeightedConcept("ada/ball", 3, PartWeights.uniform(0.5))],
        solver="lbfgs",
        prior_weight=0.2,
    )
    body = json.loads(center.requests[-1][3])
    asked = [(item["version"], item["weight"]) for item in body["concepts"]]
    assert asked == [(None, 1.0), (1, 1.0), (3, 0.5)]
    assert fusion.concepts[2].weight == PartWeights.uniform(0.5)
    assert [item.version for item in fusion.concepts] == [4, 1, 3]
    assert (body["solver"], body["prior_weight"]) == ("lbfgs", 0.2)
    assert fusion.state is FusionState.QUEUED


def test_a_fusion_request_chooses_per_part_and_leaves_the_rest_to_the_center(session, center):
    center.add_concept("ada/ball", 1)
    weights = PartWeights(text_encoder=0.5, spatial=0)
    fusion = session.request_fusion(
        "demo",
        "tiny",
        [WeightedConcept("ada/ball", weights=weights)],
        ridge={Part.SPATIAL: 0.01},
        lbfgs_steps={Part.CROSS_KV: 100},
        refine_rounds=1,
        exports=["kohya-lora"],
        previews=False,
    )
    body = json.loads(center.requests[-1][3])
    assert body == {
        "model": "demo",
        "base": "tiny",
        "concepts": [
            {
                "name": "ada/ball",
                "version": None,
                "weight": {"text_encoder": 0.5, "cross_kv": 1.0, "spatial": 0.0},
            }
        ],
        "ridge": {"spatial": 0.01},
        "lbfgs_steps": {"cross_kv": 100},
        "refine_rounds": 1,
        "exports": ["kohya-lora"],
        "previews": False,
    }
    assert fusion.concepts[0].weight == weights
    assert fusion.ridge == {"spatial": 0.01}
    assert (fusion.refine_rounds, fusion.exports) == (1, ("kohya-lora",))
    assert fusion.previews is False
    assert session.fusion(fusion.id) == fusion


def test_a_weight_that_makes_no_sense_is_no_answer_of_a_center(session, center):
    session.request_fusion("demo", "tiny", ["ada/ball@1"])
    center.fusions[next(iter(center.fusions))]["concepts"][0]["weight"] = {"unet": 1}
    with pytest.raises(MosError, match="does not understand"):
        session.fusions()


def test_a_concept_without_a_version_is_the_newest_approved_one(session, center, tmp_path):
    center.manifest = write_package(tmp_path / "package").to_bytes()
    center.add_concept("ada/ball", 1)
    center.add_concept("ada/ball", 3)
    center.add_concept("ada/ball", 4, state="pending_review")
    center.add_concept("ada/balloon", 9)
    assert session.concept("ada/ball").version == 3
    assert session.concept("ada/ball@1").manifest.to_bytes() == center.manifest


def test_a_concept_that_nobody_approved_is_not_found_without_its_version(session, center):
    center.add_concept("ada/ball", 1, state="pending_review")
    with pytest.raises(NotFound, match="ada/ball"):
        session.concept("ada/ball")


def test_a_malformed_concept_is_refused_before_anything_is_asked(session, center):
    with pytest.raises(InvalidName):
        session.request_fusion("demo", "tiny", ["ball"])
    assert center.requests == []


def test_a_fusion_request_over_a_broken_connection_stays_one_request(session, center):
    center.absent = 1
    fusion = session.request_fusion("demo", "tiny", ["ada/ball@1"])
    posts = [headers for method, _, headers, _ in center.requests if method == "POST"]
    assert len(posts) == 2
    assert len({headers["Idempotency-Key"] for headers in posts}) == 1
    assert list(center.fusions) == [fusion.id]


def changes(center) -> list[tuple[str, str]]:
    """Method and idempotency key of every change that arrived."""
    return [
        (method, headers.get("Idempotency-Key", ""))
        for method, _, headers, _ in center.requests
        if method != "GET"
    ]


def test_every_change_has_a_key_of_its_own_and_keeps_it_when_it_is_sent_again(session, center):
    center.add_concept("ada/ball")
    center.absent = 1
    session.show_concept("ada/ball", "public")
    session.share_concept("ada/ball", "ben")
    session.unshare_concept("ada/ball", "ben")
    session.create_token("laptop")
    keys = changes(center)
    assert [method for method, _ in keys] == ["PATCH", "PATCH", "PUT", "DELETE", "POST"]
    assert keys[0] == keys[1]
    assert len({key for _, key in keys}) == 4
    assert all(key for _, key in keys)


def test_a_center_that_wants_fewer_calls_gets_the_time_that_it_asks_for(center):
    naps: list[float] = []
    center.too_many = 2
    with Session(center.url, TOKEN, backoff=Backoff(sleep=naps.append)) as session:
        assert session.me().member == "ada"
    assert naps == [7, 7]


def test_a_new_token_shows_in_no_repr(session, center):
    center.join_tokens["mos_join_x"] = "ben"
    made = (session.create_token("laptop"), session.invite("ben"), session.join("mos_join_x"))
    assert [item.token for item in made] == ["mos_new", "mos_join_new", TOKEN]
    assert all(item.token not in repr(item) for item in made)


def test_joining_again_after_a_lost_answer_says_what_the_center_says(session, center):
    center.join_tokens["mos_join_x"] = "ben"
    center.lost_answers = 1
    with pytest.raises(Unauthenticated, match="joined with this token already"):
        session.join("mos_join_x")


STEPS = [
    {"state": "running", "progress": {"done": 1, "total": 2, "message": "text_encoder"}},
    {"state": "running", "progress": {"done": 2, "total": 2, "message": "unet"}},
    {"state": "published", "model_version": 1},
]


def watched(session, center) -> list:
    fusion = session.request_fusion("demo", "tiny", ["ada/ball@1"])
    center.fusion_steps = [dict(step) for step in STEPS]
    return [(f.state.value, f.progress.done) for f in session.watch_fusion(fusion.id)]


def test_a_fusion_is_watched_until_it_is_final(session, center):
    assert watched(session, center)[-1] == ("published", 2)


def test_a_watch_goes_on_when_the_events_break_off(session, center):
    center.cut_events = 2
    assert watched(session, center)[-1] == ("published", 2)


def test_a_watch_polls_when_the_center_has_no_events(center):
    center.no_events = True
    naps: list[float] = []
    backoff = Backoff(sleep=naps.append)
    with Session(center.url, TOKEN, backoff=backoff) as session:
        assert watched(session, center)[-1] == ("published", 2)
    assert naps


def test_a_watch_gives_up_when_the_center_stays_away(center):
    backoff = Backoff(attempts=3, first=0.01)
    with Session(center.url, TOKEN, backoff=backoff) as session:
        fusion = session.request_fusion("demo", "tiny", ["ada/ball@1"])
        center.stop()
        with pytest.raises(Unavailable):
            list(session.watch_fusion(fusion.id))
        center.start()


def test_an_answer_that_is_no_center_is_told_so(session, center):
    center.fusions["odd"] = {"id": "odd"}
    with pytest.raises(Exception, match="does not understand"):
        session.fusion("odd")
