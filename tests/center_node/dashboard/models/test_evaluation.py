"""Evaluations on a version's page: asked for, followed, shown as far as they may be seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from callers import ADA
from center_steps import store
from dashboard_steps import log_in, send
from mos_center.domain.access import LOCAL, Role, Visibility
from mos_center.domain.evaluations import Evaluation, EvaluationRequest, EvaluationState
from mos_center.domain.models import StoredFile, Submission
from mos_center.service.center import Center
from mos_center.settings import Settings
from mos_protocol.errors import JobFailed
from published import png, published

DEMO = "/dashboard/models/demo/1"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"evaluation_clip": "some/clip"})


@pytest.fixture
def demo(center: Center, running: Any, submit: Callable[..., Submission]) -> None:
    """The version demo@1 of ada's potter and cat, which everybody sees."""
    for name, words in (("potter", ("<potter1>", "<potter2>")), ("cat", ("<cat>",))):
        submit(concept=f"ada/{name}", words=words)
        center.concepts.show("ada", name, Visibility.PUBLIC, caller=LOCAL)
    published(center, running, "demo", {"ada/potter@1": 0.75, "ada/cat@1": 0.5}, caller=ADA)


def figures(class_word: float, own: float, fused: float) -> dict[str, dict[str, float]]:
    means = {"class_word": class_word, "own": own, "fused": fused}
    return {name: {"mean": mean, "error": 0.01} for name, mean in means.items()}


def evaluated(center: Center, running: Any) -> Evaluation:
    """An evaluation of demo@1 that is done: potter keeps 75 %, of cat it can't be told."""
    evaluation, _ = center.evaluations.request("demo", "1", EvaluationRequest(), caller=ADA)
    ledger = running.data.evaluation_ledger()
    ledger.begin(evaluation.id)
    concepts = [
        {"concept": f"ada/{name}@1", "text": figures(0.71, 0.7, 0.69),
         "identity": figures(0.5, 0.9, 0.8), "kept": kept}
        for name, kept in (("potter", 0.75), ("cat", None))
    ]  # fmt: skip
    files = [store(running.data, "grid.png", png(640 + number, 240)) for number in range(2)]
    grids = {number: StoredFile(file.sha256, file.size) for number, file in enumerate(files)}
    result = {"clip": {"name": "some/clip"}, "seeds": 2, "concepts": concepts}
    ledger.done(evaluation.id, result, grids)
    return evaluation


async def test_a_version_is_evaluated_from_its_page(
    browser: httpx.AsyncClient, center: Center, running: Any, demo: None
) -> None:
    page = await browser.get(DEMO)

    told = await send(
        browser, page, "/models/demo/1/evaluations", seeds="3", texts="a <TOK>\n\n<TOK> "
    )  # fmt: skip

    newest = center.evaluations.shown("demo", "1", caller=ADA).newest
    assert newest is not None
    assert newest.request == EvaluationRequest(texts=("a <TOK>", "<TOK>"), seeds=3)
    assert "demo@1 will be evaluated." in told.text
    assert "In the queue" in told.text
    assert 'sse-connect="/dashboard/models/demo/1/evaluations/events"' in told.text
    assert "Evaluate it" not in told.text


async def test_a_request_that_is_wrong_is_told_so(
    browser: httpx.AsyncClient, center: Center, demo: None
) -> None:
    page = await browser.get(DEMO)

    for fields in (
        {"seeds": "many"},
        {"seeds": "2", "texts": "a cat"},
        {"seeds": "1"},
        {"seeds": "2", "prompts": "a b"},
    ):
        answer = await send(browser, page, "/models/demo/1/evaluations", **fields)
        assert answer.status_code == 422, fields
    assert center.evaluations.shown("demo", "1", caller=ADA).newest is None


async def test_figures_and_pictures_are_shown(
    browser: httpx.AsyncClient, center: Center, running: Any, demo: None
) -> None:
    evaluation = evaluated(center, running)

    page = await browser.get(DEMO)
    picture = f"/dashboard/evaluations/{evaluation.id}/grids/0"
    small = await browser.get(f"{picture}?width=640")

    assert "75 %" in page.text
    assert "can't be told" in page.text or "can&#39;t be told" in page.text
    assert page.text.count('class="arrow"') == 2
    assert picture in page.text
    assert small.headers["content-type"] == "image/webp"
    assert "Evaluate it again" in page.text
    assert "sse-connect" not in page.text


async def test_pictures_of_a_concept_that_is_not_seen_are_not_shown(
    browser: httpx.AsyncClient, center: Center, running: Any, demo: None
) -> None:
    evaluation = evaluated(center, running)
    await log_in(browser, center, "ada", Role.MEMBER)
    seen = await browser.get(DEMO)
    center.concepts.show("ada", "cat", Visibility.PRIVATE, caller=LOCAL)
    withdrawn = f"/dashboard/evaluations/{evaluation.id}/grids/1"
    assert withdrawn in seen.text
    center.withdrawal.withdraw("ada", "cat", 1, "asked to", caller=ADA)

    page = await browser.get(DEMO)

    assert "/grids/" not in page.text
    assert (await browser.get(withdrawn)).status_code == 410
    # Figures stay.
    assert "75 %" in page.text
    assert "Evaluate it" not in page.text


async def test_a_failure_says_what_to_do_and_it_can_be_asked_for_again(
    browser: httpx.AsyncClient, center: Center, running: Any, demo: None
) -> None:
    evaluation, _ = center.evaluations.request("demo", "1", EvaluationRequest(), caller=ADA)
    error = JobFailed("No prompts suit <it>.", hint="Give some.")
    running.data.evaluation_ledger().failed(evaluation.id, error)

    page = await browser.get(DEMO)

    assert "No prompts suit &lt;it&gt;." in page.text
    assert "Give some." in page.text
    assert "Evaluate it" in page.text


async def test_whoever_asked_cancels_and_nobody_else(
    browser: httpx.AsyncClient, center: Center, running: Any, demo: None
) -> None:
    evaluation, _ = center.evaluations.request("demo", "1", EvaluationRequest(), caller=ADA)
    await log_in(browser, center, "bob", Role.MEMBER)
    path = f"/evaluations/{evaluation.id}/cancel"
    page = await browser.get(DEMO)
    refused = await send(browser, await browser.get("/dashboard/tokens"), path)
    await log_in(browser, center, "rita", Role.CURATOR)

    told = await send(browser, await browser.get(DEMO), path)

    assert "Cancel it" not in page.text
    assert refused.status_code == 403
    assert "The evaluation of demo@1 is cancelled." in told.text
    found = center.evaluations.get(evaluation.id, caller=LOCAL)
    assert found.state is EvaluationState.CANCELLED


async def test_the_panel_follows_what_runs_until_it_ends(
    browser: httpx.AsyncClient, center: Center, running: Any, demo: None
) -> None:
    evaluation, _ = center.evaluations.request("demo", "1", EvaluationRequest(), caller=ADA)
    ledger = running.data.evaluation_ledger()
    ledger.begin(evaluation.id)
    ledger.progress(evaluation.id, 4, 20, "sample the base")
    seen = []

    async with browser.stream("GET", f"{DEMO}/evaluations/events") as stream:
        async for line in stream.aiter_lines():
            seen.append(line)
            if "4 of 20 pictures: sample the base" in line:
                ledger.failed(evaluation.id, JobFailed("It broke."))

    text = "\n".join(seen)
    assert "event: evaluation" in text
    assert "It broke." in text
    assert text.rstrip().endswith("data:")
    assert "event: end" in text
