from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from center_steps import submit_folder
from concept_packages import write_package
from dashboard_steps import csrf, log_in, review_by_hand, send
from mos_center.domain.access import LOCAL, Role, Visibility
from mos_center.domain.models import BaseRecord, Submission
from mos_center.domain.states import SubmissionState
from mos_center.service.center import Center


def state_of(center: Center, submission: Submission) -> SubmissionState:
    return center.submissions.get(submission.id, caller=LOCAL).state


async def test_a_curator_approves_what_waits(
    browser: httpx.AsyncClient, center: Center, waiting: Submission
) -> None:
    await log_in(browser, center)
    page = await browser.get("/dashboard/concepts")
    assert "1 waits for review" in page.text
    assert f'value="{waiting.id}"' in page.text

    done = await send(browser, page, "/concepts/review", submission=waiting.id, decision="approve")

    assert "1 concept approved." in done.text
    assert state_of(center, waiting) is SubmissionState.APPROVED
    assert "1 concept approved." not in (await browser.get("/dashboard/concepts")).text


async def test_many_are_rejected_at_once_and_what_could_not_be_is_told(
    browser: httpx.AsyncClient, running: Any, base: BaseRecord, tmp_path: Path
) -> None:
    center = review_by_hand(running)
    found = [
        submit_folder(center, write_package(tmp_path / f"p{seed}", base.layer_map, seed=seed))
        for seed in range(3)
    ]
    center.submissions.approve(found[0].id, LOCAL)
    await log_in(browser, center)
    page = await browser.get("/dashboard/concepts")

    ids = [one.id for one in found]
    done = await send(
        browser, page, "/concepts/review", submission=ids, decision="reject", reason="blurred"
    )

    assert "2 concepts rejected; 1 not: The submission is approved" in done.text
    states = [state_of(center, one).value for one in found]
    assert states == ["approved", "rejected", "rejected"]


async def test_a_rejection_needs_a_reason(
    browser: httpx.AsyncClient, center: Center, waiting: Submission
) -> None:
    await log_in(browser, center)
    page = await browser.get("/dashboard/concepts")

    refused = await send(
        browser, page, "/concepts/review", submission=waiting.id, decision="reject", reason=" "
    )

    assert refused.status_code == 422
    assert "needs a reason" in refused.text
    assert state_of(center, waiting) is SubmissionState.PENDING_REVIEW


async def test_a_member_sees_that_its_concept_waits_but_can_not_approve_it(
    browser: httpx.AsyncClient, center: Center, waiting: Submission
) -> None:
    page = await log_in(browser, center, "ada", Role.MEMBER)
    concepts = await browser.get("/dashboard/concepts")

    refused = await send(
        browser, page, "/concepts/review", submission=waiting.id, decision="approve"
    )

    assert waiting.concept in concepts.text
    assert "pending review" in concepts.text
    assert 'value="approve"' not in concepts.text
    assert refused.status_code == 403
    assert state_of(center, waiting) is SubmissionState.PENDING_REVIEW


async def test_a_forged_form_changes_nothing(
    browser: httpx.AsyncClient, center: Center, waiting: Submission
) -> None:
    page = await log_in(browser, center)
    url = "/dashboard/concepts/review"
    fields = {"submission": waiting.id, "decision": "approve"}

    bare = await browser.post(url, data=fields)
    guessed = await browser.post(url, data={"csrf": "0" * 64, **fields})
    foreign = await browser.post(
        url, data={"csrf": csrf(page), **fields}, headers={"Origin": "https://evil.example"}
    )

    assert [bare.status_code, guessed.status_code, foreign.status_code] == [403, 403, 403]
    assert state_of(center, waiting) is SubmissionState.PENDING_REVIEW


async def test_filters_and_search_choose_the_cards(
    browser: httpx.AsyncClient, center: Center, submit: Callable[..., Submission]
) -> None:
    submit(concept="ada/potter")
    submit(concept="ben/chair", words=("<chair1>",))
    center.concepts.show("ben", "chair", Visibility.PUBLIC, caller=LOCAL)

    async def shown(query: str) -> list[str]:
        page = await browser.get(f"/dashboard/concepts?{query}")
        assert page.status_code == 200
        return [name for name in ("ada/potter@", "ben/chair@") if name in _plain(page.text)]

    assert await shown("") == ["ada/potter@", "ben/chair@"]
    assert await shown("q=hair") == ["ben/chair@"]
    assert await shown("q=ada/pot") == ["ada/potter@"]
    assert await shown("owner=ben&visibility=public") == ["ben/chair@"]
    assert await shown("visibility=private") == ["ada/potter@"]
    assert await shown("state=approved&base=small&sort=name") == ["ada/potter@", "ben/chair@"]
    assert await shown("state=rejected") == []
    assert await shown("state=no-such-state&visibility=odd&sort=odd") == [
        "ada/potter@",
        "ben/chair@",
    ]


def _plain(html: str) -> str:
    return html.replace('<span class="version">', "")


async def test_a_long_list_is_paged_by_key(
    browser: httpx.AsyncClient, submit: Callable[..., Submission]
) -> None:
    for number in range(26):
        submit(concept=f"ada/c{number:02}", words=(f"<c{number}>",))

    first = await browser.get("/dashboard/concepts?q=ada")
    link = first.text.split('rel="next"')[0].rpartition('href="')[2].partition('"')[0]
    second = await browser.get(link.replace("&amp;", "&"))

    assert "q=ada" in link
    assert first.text.count('<li class="card">') == 24
    assert second.text.count('<li class="card">') == 2
    assert "ada/c00" in second.text
    assert 'rel="next"' not in second.text


async def test_an_empty_list_says_how_it_gets_filled(browser: httpx.AsyncClient) -> None:
    nothing = await browser.get("/dashboard/concepts")
    filtered = await browser.get("/dashboard/concepts?q=nothing")

    assert "mos-client tune … --upload" in nothing.text
    assert "No concept fits." in filtered.text
