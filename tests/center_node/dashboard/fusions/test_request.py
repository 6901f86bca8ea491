"""Asking for a fusion: the form keeps what was typed, and says at once what stands against it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from concept_packages import small_layer_map
from dashboard_steps import log_in, send
from mos_center.domain.access import LOCAL, Role, Scope, Visibility
from mos_center.domain.models import Export, Priority, Solver, Submission
from mos_center.domain.states import FusionState
from mos_center.service.center import Center
from mos_center.service.fusion_requests import FusionRequest, WantedConcept
from mos_protocol.layer_map import Part
from mos_protocol.part_weights import PartWeights

CHOICES = {
    "base": "small",
    "model": "demo",
    "solver": "closed-form",
    "refine_rounds": "0",
    "priority": "normal",
    "previews": "center",
}
NEW = "/fusions/new"


@pytest.fixture(autouse=True)
def concepts(center: Center, submit: Callable[..., Submission]) -> None:
    submit(concept="ada/potter", words=("<potter>",))
    submit(concept="bob/cat", words=("<cat>",))
    submit(concept="eve/cat", words=("<cat>",))
    for name in ("ada/potter", "bob/cat"):
        center.concepts.show(*name.split("/"), Visibility.PUBLIC, caller=LOCAL)


@pytest.fixture
async def page(browser: httpx.AsyncClient) -> httpx.Response:
    """The form as an open center's operator sees it."""
    return await browser.get(f"/dashboard{NEW}?base=small")


def chosen(page: httpx.Response) -> list[str]:
    return re.findall(r'name="concept" value="([^"]+)"', page.text)


def found(page: httpx.Response) -> list[str]:
    return re.findall(r'name="add" value="([^"]+)"', page.text)


def at(page: httpx.Response, place: str) -> str:
    """What is said at a place, as text."""
    marked = re.search(rf'id="at-{place}"[^>]*>(.*?)</div>', page.text, re.DOTALL)
    assert marked is not None, place
    return re.sub(r"<[^>]+>", "", marked[1]).replace("&#39;", "'")


def field(page: httpx.Response, name: str) -> str:
    typed = re.search(rf'name="{re.escape(name)}"[^>]* value="([^"]*)"', page.text)
    assert typed is not None, name
    return typed[1]


def can_be_queued(page: httpx.Response) -> bool:
    return '<button id="queue">' in page.text


async def test_the_form_begins_with_what_the_address_names(browser: httpx.AsyncClient) -> None:
    page = await browser.get(
        f"/dashboard{NEW}?concept=ada/potter&concept=bob/cat@1&concept=bob/cat&model=zoo"
    )

    assert chosen(page) == ["ada/potter@1", "bob/cat@1"]
    assert field(page, "model") == "zoo"
    assert "<option selected>small</option>" in page.text
    assert "zoo is a new model; this becomes zoo@1." in page.text
    assert can_be_queued(page)


async def test_an_earlier_request_can_be_changed(
    browser: httpx.AsyncClient, center: Center
) -> None:
    request = FusionRequest(
        "demo",
        "small",
        [WantedConcept("bob/cat", 1, PartWeights(spatial=0.123456789))],
        solver=Solver.LBFGS,
        lbfgs_steps={Part.SPATIAL: 9},
        exports=[Export.SINGLE_FILE],
        previews=False,
    )
    fusion, _ = center.fusions.request(request, caller=LOCAL)

    page = await browser.get(f"/dashboard{NEW}?from={fusion.id}")

    assert chosen(page) == ["bob/cat@1"]
    assert field(page, "weight.spatial.bob/cat@1") == "0.123456789"
    assert field(page, "lbfgs_steps.spatial") == "9"
    assert 'value="single-file" checked' in page.text
    assert '<option value="gradient" selected>' in page.text
    assert "<option selected>lbfgs</option>" in page.text
    assert '<option value="no" selected>' in page.text
    assert f"queued already, as fusion {fusion.id}" in page.text


async def test_an_earlier_mix_of_weights_can_be_changed(
    browser: httpx.AsyncClient, center: Center
) -> None:
    request = FusionRequest("demo", "small", [WantedConcept("bob/cat", 1)], solver=Solver.SUM)
    fusion, _ = center.fusions.request(request, caller=LOCAL)

    page = await browser.get(f"/dashboard{NEW}?from={fusion.id}")

    assert '<option value="weight-average" selected>' in page.text
    assert "<option selected>sum</option>" in page.text


async def test_what_a_fuse_method_can_not_fuse_is_told_at_the_concept(
    browser: httpx.AsyncClient, page: httpx.Response
) -> None:
    fields: dict[str, Any] = {**CHOICES, "concept": ["bob/cat@1"], "weight.bob/cat@1": "1"}

    refused = await send(browser, page, NEW, **fields, fuse_method="custom-diffusion")
    taken = await send(browser, page, NEW, **fields, fuse_method="none")

    assert "changes text_encoder and spatial" in at(refused, "1")
    assert "needs the prior moments of base 'small'" in at(refused, "settings")
    assert not can_be_queued(refused)
    assert "loses what it changes in layers" in at(taken, "1")
    assert can_be_queued(taken)


async def test_concepts_are_searched_added_and_removed(
    browser: httpx.AsyncClient, page: httpx.Response
) -> None:
    assert found(page) == ["ada/potter@1", "bob/cat@1", "eve/cat@1"]

    searched = await send(browser, page, NEW, **CHOICES, q="CAT", search="1")
    added = await send(browser, page, NEW, **CHOICES, q="CAT", add="bob/cat@1")
    two = await send(
        browser, page, NEW, **CHOICES, concept=["bob/cat@1"], add="ada/potter@1", q="x y"
    )
    removed = await send(
        browser, page, NEW, **CHOICES, concept=["bob/cat@1", "ada/potter@1"], remove="bob/cat@1"
    )

    assert found(searched) == ["bob/cat@1", "eve/cat@1"]
    assert (chosen(added), found(added)) == (["bob/cat@1"], ["eve/cat@1"])
    assert chosen(two) == ["bob/cat@1", "ada/potter@1"]
    assert "fits “x y”" in two.text
    assert chosen(removed) == ["ada/potter@1"]


async def test_a_long_search_goes_on(
    browser: httpx.AsyncClient, page: httpx.Response, submit: Callable[..., Submission]
) -> None:
    for number in range(11):
        submit(concept=f"kim/c{number:02}", words=(f"<c{number}>",))
    first = await browser.get(f"/dashboard{NEW}?base=small")
    key = re.search(r'name="more" value="(\w+)"', first.text)
    assert key is not None

    rest = await send(browser, page, NEW, **CHOICES, more=key[1])

    assert len(found(first)) == 12
    assert found(rest) == ["kim/c09@1", "kim/c10@1"]


async def test_a_member_finds_what_it_may_see(browser: httpx.AsyncClient, center: Center) -> None:
    await log_in(browser, center, "kim", Role.MEMBER)

    page = await browser.get(f"/dashboard{NEW}?base=small&concept=eve/cat")

    assert found(page) == ["ada/potter@1", "bob/cat@1"]
    assert "There is no concept eve/cat." in at(page, "1")
    assert '<option value="high"' not in page.text
    assert "<option>high</option>" not in page.text


async def test_what_stands_against_concepts_is_said_beside_them(
    browser: httpx.AsyncClient, page: httpx.Response
) -> None:
    both = ["bob/cat@1", "ada/potter@1", "eve/cat@1"]

    named = await send(browser, page, NEW, **CHOICES, concept=both)
    unnamed = await send(browser, page, NEW, **{**CHOICES, "model": ""}, concept=both)

    for answer in (named, unnamed):
        assert "bob/cat@1 and eve/cat@1 share the word" in at(answer, "1")
        assert at(answer, "2") == ""
        assert "share the word" in at(answer, "3")
        assert not can_be_queued(answer)
    assert "1 problem stands against it" in named.text.lower()
    assert "give the model a name; 1 problem" in unnamed.text.lower()


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("weight.bob/cat@1", "abc", "'abc' is no number"),
        ("weight.bob/cat@1", "-1", "The weight of bob/cat is -1"),
        ("weight.spatial.bob/cat@1", "x", "'x' is no number"),
        ("weight.bob/cat@1", "unet=1", "'unet=1' is no weight"),
        ("prior_weight", "much", "'much' is no number"),
        ("prior_weight", "nan", "prior_weight is nan"),
        ("ridge.spatial", "-2", "ridge.spatial is -2"),
        ("lbfgs_steps.cross_kv", "1.5", "'1.5' is no whole number"),
        ("lbfgs_steps.cross_kv", "0", "lbfgs_steps.cross_kv is 0"),
        ("refine_rounds", "9", "refine_rounds is 9"),
        ("model", "No Name", "'No Name' is no valid model name"),
    ],
)
async def test_what_can_not_be_read_stays_and_is_told_at_its_field(
    browser: httpx.AsyncClient, page: httpx.Response, name: str, text: str, told: str
) -> None:
    fields = {**CHOICES, "concept": ["bob/cat@1"], name: text}
    place = "1" if name.startswith("weight") else name.replace(".", "-")

    checked = await send(browser, page, NEW, **fields, check="1")
    refused = await send(browser, page, "/fusions", **fields)

    assert (checked.status_code, refused.status_code) == (200, 422)
    for answer in (checked, refused):
        assert field(answer, name) == text
        assert told in at(answer, place)
        assert not can_be_queued(answer)


async def test_a_request_is_queued_as_it_was_put_together(
    browser: httpx.AsyncClient, center: Center, page: httpx.Response
) -> None:
    fields: dict[str, Any] = {
        **CHOICES,
        "concept": ["bob/cat@1", "ada/potter@1"],
        "weight.bob/cat@1": "0,8",
        "weight.ada/potter@1": "1",
        "weight.spatial.ada/potter@1": "0",
        "solver": "lbfgs",
        "ridge.spatial": "0.1",
        "lbfgs_steps.cross_kv": "7",
        "refine_rounds": "1",
        "export": ["kohya-lora", "single-file"],
        "priority": "high",
        "previews": "yes",
    }

    done = await send(browser, page, "/fusions", **fields)

    (fusion,) = center.fusions.find(caller=LOCAL, limit=9)
    assert done.url.path == f"/dashboard/fusions/{fusion.id}"
    assert "The fusion is in the queue." in done.text
    assert [(item.ref, item.weights) for item in fusion.concepts] == [
        ("bob/cat@1", PartWeights.uniform(0.8)),
        ("ada/potter@1", PartWeights(spatial=0)),
    ]
    assert (fusion.solver, fusion.refine_rounds) == (Solver.LBFGS, 1)
    assert fusion.ridge is not None
    assert fusion.lbfgs_steps is not None
    assert (fusion.ridge[Part.SPATIAL], fusion.ridge[Part.CROSS_KV]) == (0.1, 1e-3)
    assert fusion.lbfgs_steps[Part.CROSS_KV] == 7
    assert fusion.exports == (Export.KOHYA_LORA, Export.SINGLE_FILE)
    assert (fusion.priority, fusion.previews) == (Priority.HIGH, True)


async def test_the_same_request_leads_to_the_fusion_that_is_known(
    browser: httpx.AsyncClient, center: Center, page: httpx.Response
) -> None:
    await send(browser, page, "/fusions", **CHOICES, concept=["bob/cat@1"])

    again = await send(browser, page, "/fusions", **CHOICES, concept=["bob/cat@1"])

    (fusion,) = center.fusions.find(caller=LOCAL, limit=9)
    assert again.url.path == f"/dashboard/fusions/{fusion.id}"
    assert fusion.state is FusionState.QUEUED


async def test_what_is_refused_shows_the_form_again(
    browser: httpx.AsyncClient, center: Center, page: httpx.Response
) -> None:
    refused = await send(browser, page, "/fusions", **CHOICES, concept=["bob/cat@1", "eve/cat@1"])

    assert refused.status_code == 422
    assert chosen(refused) == ["bob/cat@1", "eve/cat@1"]
    assert "share the word" in at(refused, "1")
    assert center.fusions.find(caller=LOCAL, limit=9) == ()


async def test_an_update_brings_only_what_is_other_now(
    browser: httpx.AsyncClient, page: httpx.Response
) -> None:
    browser.headers["HX-Request"] = "true"

    checked = await send(browser, page, NEW, **CHOICES, concept=["bob/cat@1"])
    searched = await send(browser, page, NEW, **CHOICES, search="1", q="potter")
    added = await send(browser, page, NEW, **CHOICES, add="bob/cat@1")

    for answer in (checked, searched, added):
        assert "<html" not in answer.text
        assert 'id="verdict"' in answer.text
        assert len(re.findall(r' id="', answer.text)) >= answer.text.count("hx-swap-oob")
    # What is being typed is not replaced by a check.
    assert "<input" not in checked.text
    assert 'id="at-1"' in checked.text
    assert ('id="found"' in searched.text, 'id="chosen"' in searched.text) == (True, False)
    assert ('id="found"' in added.text, 'id="chosen"' in added.text) == (True, True)


async def test_another_base_says_which_concepts_are_not_for_it(
    browser: httpx.AsyncClient, center: Center, page: httpx.Response, tmp_path: Path
) -> None:
    center.bases.add("other", tmp_path, small_layer_map("cd" * 32), {})

    answer = await send(
        browser, page, NEW, **{**CHOICES, "base": "other"}, concept=["bob/cat@1"], check="1"
    )

    assert "was tuned on base 'small', not 'other'" in at(answer, "1")
    assert found(answer) == []
    assert "There is no approved concept of other" in answer.text


async def test_with_many_concepts_the_form_stays_small(
    browser: httpx.AsyncClient, page: httpx.Response
) -> None:
    refs = [f"kim/some-concept-with-a-name-{number}@1" for number in range(256)]

    answer = await send(browser, page, NEW, **CHOICES, concept=refs)

    assert len(answer.content) < 200_000
    assert len(chosen(answer)) == 256
    assert "write weights of parts into the field" in answer.text
    assert "There is no concept kim/some-concept-with-a-name-0@1." in at(answer, "1")
    assert "196 more findings are not shown." in at(answer, "concepts")


async def test_a_token_that_may_not_read_concepts_is_shown_none_and_can_name_them(
    browser: httpx.AsyncClient, center: Center
) -> None:
    center.members.add("ada", caller=LOCAL)
    token, _ = center.tokens.create("ada", "ci", scopes=[Scope.FUSION_REQUEST], caller=LOCAL)
    await browser.post("/dashboard/login", data={"token": token})

    listed = await browser.get("/dashboard/fusions/new?base=small")
    named = await browser.get("/dashboard/fusions/new?base=small&q=ada/potter")

    assert "ada/potter" not in listed.text
    assert "concept:read" in listed.text
    assert 'name="add" value="ada/potter"' in named.text
