from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from center_steps import publish, submit_folder
from concept_packages import edit_manifest, write_package
from mos_center.domain.access import LOCAL, Role
from mos_center.domain.models import Export, Submission
from mos_center.domain.policy import Review
from mos_center.domain.states import SubmissionState
from mos_center.service.center import Center
from mos_center.service.fusion_requests import FusionRequest, WantedConcept
from mos_protocol.part_weights import PartWeights

MARKUP = '<script>alert("1")</script>'


@pytest.fixture
async def browser(running: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Keeps cookies and follows redirects, as a browser does."""
    async with httpx.AsyncClient(base_url=running.addresses.rest, follow_redirects=True) as client:
        yield client


@pytest.fixture
def waiting(running: Any, package: Path) -> Submission:
    """A concept that waits for review."""
    changes = {"review": Review.MANUAL, "require_statements": False}
    running.data.settings = running.data.settings.model_copy(update=changes)
    return submit_folder(running.data.center(), package)


def new_token(center: Center) -> str:
    """A token of rita, who is a curator."""
    center.members.add("rita", Role.CURATOR, caller=LOCAL)
    return center.tokens.create("rita", "laptop", caller=LOCAL)[0]


async def log_in(browser: httpx.AsyncClient, center: Center) -> httpx.Response:
    token = new_token(center)
    return await browser.post("/dashboard/login", data={"token": token})


def csrf(page: httpx.Response) -> str:
    return re.search(r'name="csrf" value="([0-9a-f]{64})"', page.text)[1]


async def test_a_stranger_is_led_to_the_login_page(
    browser: httpx.AsyncClient, center: Center
) -> None:
    new_token(center)
    for path in ("/", "/dashboard", "/dashboard/", "/dashboard/models", "/dashboard/fusions"):
        page = await browser.get(path)
        assert page.url.path == "/dashboard/login", path
    for path in ("/dashboard/concepts/x/approve", "/dashboard/fusions/x/cancel"):
        page = await browser.post(path, data={"csrf": "0" * 64})
        assert page.url.path == "/dashboard/login", path


async def test_a_wrong_token_is_refused_and_a_right_one_opens_a_session(
    browser: httpx.AsyncClient, center: Center
) -> None:
    refused = await browser.post("/dashboard/login", data={"token": "mos_guess"})
    assert refused.status_code == 401
    assert "not one of this center" in refused.text

    page = await log_in(browser, center)

    assert page.url.path == "/dashboard/concepts"
    cookie = page.history[0].headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "rita" in page.text
    left = await browser.post("/dashboard/logout", data={"csrf": csrf(page)})
    assert left.url.path == "/dashboard/login"


async def test_a_reviewer_approves_what_waits(
    browser: httpx.AsyncClient, center: Center, waiting: Submission
) -> None:
    page = await log_in(browser, center)
    assert "1 concept waits for review" in page.text
    picture = re.search(r'<img src="([^"]+)"', page.text)[1]
    assert (await browser.get(picture)).headers["content-type"] == "image/png"

    url = f"/dashboard/concepts/{waiting.id}/approve"
    approved = await browser.post(url, data={"csrf": csrf(page)})

    assert "approved" in approved.text
    assert center.submissions.get(waiting.id, caller=LOCAL).state is SubmissionState.APPROVED


async def test_a_member_sees_that_its_concept_waits_but_can_not_approve_it(
    browser: httpx.AsyncClient, center: Center, waiting: Submission
) -> None:
    center.members.add("ada", caller=LOCAL)
    token, _ = center.tokens.create("ada", "laptop", caller=LOCAL)

    page = await browser.post("/dashboard/login", data={"token": token})

    assert waiting.concept in page.text
    assert "pending review" in page.text
    assert "Approve" not in page.text


async def test_a_forged_form_changes_nothing(
    browser: httpx.AsyncClient, center: Center, waiting: Submission
) -> None:
    page = await log_in(browser, center)
    url = f"/dashboard/concepts/{waiting.id}/approve"

    bare = await browser.post(url)
    guessed = await browser.post(url, data={"csrf": "0" * 64})
    foreign = await browser.post(
        url, data={"csrf": csrf(page)}, headers={"Origin": "https://evil.example"}
    )

    assert [bare.status_code, guessed.status_code, foreign.status_code] == [403, 403, 403]
    assert center.submissions.get(waiting.id, caller=LOCAL).state is SubmissionState.PENDING_REVIEW


async def test_an_open_center_protects_its_forms_too(
    browser: httpx.AsyncClient, center: Center, waiting: Submission
) -> None:
    page = await browser.get("/dashboard/concepts")
    url = f"/dashboard/concepts/{waiting.id}/reject"

    assert (await browser.post(url, data={"reason": "no"})).status_code == 403
    done = await browser.post(url, data={"csrf": csrf(page), "reason": "no consent given"})

    assert done.status_code == 200
    assert "no consent given" in done.text


async def test_an_imported_concept_is_shown_as_one(
    browser: httpx.AsyncClient, running: Any, package: Path
) -> None:
    source = {"file": "cat.safetensors", "sha256": "ab" * 32, "words_from": "class_word"}
    edit_manifest(package, lambda m: m.update(method="imported", source=source, training=None))
    submission = submit_folder(running.data.center(), package)

    page = await browser.get("/dashboard/concepts")
    told = (await running.http.get(f"/v1/concepts/{submission.concept}/1")).json()

    assert "imported, rank" in page.text
    assert told["manifest"]["source"]["file"] == "cat.safetensors"


async def test_markup_in_a_package_stays_text(
    browser: httpx.AsyncClient, center: Center, base: Any, tmp_path: Path, running: Any
) -> None:
    package = write_package(tmp_path / "hostile", base.layer_map, description=MARKUP)
    submission = submit_folder(center, package)
    center_manual = running.data.center()
    offered = write_package(tmp_path / "other", base.layer_map, seed=9)
    other = center_manual.submissions.offer(
        (offered / "manifest.json").read_bytes(), caller=LOCAL
    ).submission
    center.submissions.reject(other.id, MARKUP, LOCAL)

    page = await browser.get("/dashboard/concepts")

    assert submission.concept in page.text
    assert "<script" not in page.text
    assert "&lt;script&gt;" in page.text
    assert "&lt;potter1&gt;" in page.text


async def test_fusions_and_models_show_what_became_of_the_concepts(
    browser: httpx.AsyncClient, center: Center, submit: Callable[..., Submission], running: Any
) -> None:
    submit(), submit()
    publish(center, running.data, "demo", 1, {"README.md": b"# demo"})
    fusions = await browser.get("/dashboard/fusions")
    models = await browser.get("/dashboard/models")

    assert "ada/potter@1" in fusions.text
    assert 'http-equiv="refresh"' not in fusions.text
    assert "mos-client pull demo@1" in models.text
    assert "latest" in models.text


async def test_a_fusion_shows_weights_by_part_and_what_else_was_chosen(
    browser: httpx.AsyncClient, center: Center, submit: Callable[..., Submission], running: Any
) -> None:
    submit()
    weighted = WantedConcept("ada/potter", weights=PartWeights(spatial=0.5))
    request = FusionRequest(
        "demo", "small", [weighted], refine_rounds=2, exports=[Export.KOHYA_LORA]
    )
    center.fusions.request(request, caller=LOCAL)

    page = await browser.get("/dashboard/fusions")

    assert "× text_encoder=1,cross_kv=1,spatial=0.5" in page.text
    assert "refined 2 times, also as kohya-lora" in page.text


async def test_every_page_forbids_scripts_frames_and_loads_from_elsewhere(
    browser: httpx.AsyncClient,
) -> None:
    for path in ("/dashboard/login", "/dashboard/concepts", "/dashboard/style.css", "/dashboard/x"):
        page = await browser.get(path)
        # With "no-referrer" a browser hides the origin of our own forms, which are then refused.
        assert page.headers["referrer-policy"] == "same-origin"
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert not re.search(r'(src|href)="(https?:)?//', page.text)


async def test_an_action_that_is_not_possible_says_why(
    browser: httpx.AsyncClient, center: Center
) -> None:
    page = await log_in(browser, center)

    missing = await browser.post("/dashboard/fusions/none/cancel", data={"csrf": csrf(page)})

    assert missing.status_code == 404
    assert "There is no fusion" in missing.text
