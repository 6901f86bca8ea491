from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from callers import ADA, member
from center_steps import submit_folder
from concept_packages import reseal, write_package
from dashboard_steps import MARKUP, log_in, send
from mos_center.domain.access import LOCAL, Role, Visibility
from mos_center.domain.models import Submission
from mos_center.domain.policy import Withdrawal
from mos_center.service.center import Center
from published import png, published

DEMO = "/dashboard/models/demo/1"


@pytest.fixture
def concepts(center: Center, submit: Callable[..., Submission]) -> None:
    """ada's potter and cat, which everybody sees."""
    said = {"licence": "CC-BY-4.0", "consent": "He said yes."}
    submit(concept="ada/potter", words=("<potter1>", "<potter2>"), **said)
    submit(concept="ada/cat", words=("<cat>",))
    for name in ("potter", "cat"):
        center.concepts.show("ada", name, Visibility.PUBLIC, caller=LOCAL)


@pytest.fixture
def demo(center: Center, running: Any, concepts: None) -> None:
    """The version demo@1 of both."""
    published(center, running, "demo", {"ada/potter@1": 0.75, "ada/cat@1": 0.5}, caller=ADA)


def withdraw_cat(running: Any, policy: Withdrawal = Withdrawal.KEEP) -> None:
    settings = running.data.settings.model_copy(update={"withdrawal": policy})
    running.data.settings = settings
    running.data.center().withdrawal.withdraw("ada", "cat", 1, "asked to", caller=ADA)


async def test_a_center_that_evaluates_nothing_offers_no_evaluation(
    browser: httpx.AsyncClient, demo: None
) -> None:
    assert 'id="evaluation"' not in (await browser.get(DEMO)).text


async def test_a_version_tells_what_it_was_made_of_and_how(
    browser: httpx.AsyncClient, demo: None
) -> None:
    page = await browser.get(DEMO)

    for shown in (
        "CC-BY-4.0",
        "He said yes.",
        "No licence stated",
        "&lt;potter1&gt;",
        "closed-form",
        "4 files",
        "by ada",
    ):
        assert shown in page.text, shown
    assert 'href="/dashboard/concepts/ada/potter/1"' in page.text
    assert 'href="/dashboard/fusions/' in page.text


async def test_commands_name_the_version_and_the_address_of_this_center(
    browser: httpx.AsyncClient, running: Any, demo: None
) -> None:
    page = await browser.get(DEMO)
    copied = re.findall(r'data-copy="([^"]+)"', page.text)

    assert "mos-client pull demo@1 --out ./demo-1" in copied
    hub = f"HF_ENDPOINT={running.addresses.rest} hf download mos/demo --revision v1"
    assert any(text.startswith(hub) for text in copied)
    assert any("from_pretrained" in text for text in copied)
    assert "mos-client export ./demo-1 --format kohya-lora --out ./demo-1-kohya-lora" in copied


async def test_an_export_that_was_published_needs_no_command(
    browser: httpx.AsyncClient, center: Center, running: Any, concepts: None
) -> None:
    files = {"exports/kohya-lora/kohya_lora.safetensors": b"lora"}
    published(center, running, "demo", {"ada/potter@1": 0.5}, files=files)

    page = await browser.get(DEMO)

    assert "./demo-1/exports/kohya-lora/kohya_lora.safetensors" in page.text
    assert "--format kohya-lora" not in page.text
    assert "--format single-file" in page.text
    assert "embedding:potter1 embedding:potter2" in page.text


async def test_quality_is_told_per_concept_part_and_block(
    browser: httpx.AsyncClient, center: Center, running: Any, concepts: None
) -> None:
    kept = {"ada/potter@1": 0.75, "ada/cat@1": 0.5}
    report = {"warnings": ["ada/cat@1 keeps little"]}
    published(center, running, "demo", kept, report=report)

    page = await browser.get(DEMO)

    assert "ada/cat@1 keeps little" in page.text
    assert re.search(r'<th scope="row">ada/potter@1</th>\s*<td class="heat-8">75 %</td>', page.text)
    assert "text encoder" in page.text
    assert "ada/potter@1 and ada/cat@1: 3.0 %" in page.text


async def test_without_a_report_the_page_says_so(
    browser: httpx.AsyncClient, center: Center, running: Any, concepts: None
) -> None:
    report = {"kept": {}, "parts": {}, "blocks": []}
    published(center, running, "demo", {"ada/potter@1": 1.0}, report=report)

    page = await browser.get(DEMO)

    assert "published without a report" in page.text


async def test_many_concepts_are_cut_to_those_that_keep_least(
    browser: httpx.AsyncClient, center: Center, running: Any, submit: Callable[..., Submission]
) -> None:
    submit(concept="ada/potter", words=("<potter>",))
    kept = {f"ada/c{number:03d}@1": number / 100 for number in range(60)}
    parts = {"text_encoder": 0.5}
    told = {ref: {"result": share, "average": 0.1, "parts": parts} for ref, share in kept.items()}
    published(center, running, "demo", {"ada/potter@1": 0.5}, report={"kept": told})

    page = await browser.get(DEMO)

    assert "the 40 concepts that keep least; the other 20 keep more" in page.text
    assert "ada/c039@1" in page.text
    assert "ada/c040@1" not in page.text


async def test_layers_of_a_block_come_as_a_part_or_as_a_page(
    browser: httpx.AsyncClient, demo: None
) -> None:
    page = await browser.get(DEMO)
    (address,) = set(re.findall(r'hx-get="([^"]+layers\?block=unet.mid_block)"', page.text))

    part = await browser.get(address, headers={"HX-Request": "true"})
    whole = await browser.get(address)

    for answer in (part, whole):
        assert "attn1.to_q" in answer.text
        assert "q_proj" not in answer.text
        assert '<td class="heat-8">75 %</td>' in answer.text
    assert "<html" not in part.text
    assert "<h1>Layers of demo@1</h1>" in whole.text
    unknown = await browser.get(f"{DEMO}/layers?block=unet.none")
    assert unknown.status_code == 404


async def test_fused_previews_stand_beside_the_concepts_own(
    browser: httpx.AsyncClient, center: Center, running: Any, base: Any, tmp_path: Any
) -> None:
    picture_of_full_scale(center, base, tmp_path)
    published(center, running, "demo", {"ada/potter@1": 0.5})

    page = await browser.get(DEMO)
    pictures = re.findall(r'<img src="([^"]+)" alt="([^"]+)"', page.text)

    shown = [(address, text) for address, text in pictures if text]
    assert [text for _, text in shown] == [
        "ada/potter@1 in demo@1",
        "ada/potter@1 in its own model",
    ]
    for address, _ in shown:
        answer = await browser.get(address)
        assert answer.headers["content-type"].startswith("image/"), address


async def test_what_became_private_is_neither_linked_nor_shown(
    browser: httpx.AsyncClient, center: Center, running: Any, base: Any, tmp_path: Any
) -> None:
    picture_of_full_scale(center, base, tmp_path)
    center.concepts.show("ada", "potter", Visibility.PUBLIC, caller=LOCAL)
    await log_in(browser, center, "ben", Role.MEMBER)
    published(center, running, "demo", {"ada/potter@1": 0.5}, caller=member("ben"))
    before = await browser.get(DEMO)
    center.concepts.show("ada", "potter", Visibility.PRIVATE, caller=LOCAL)

    page = await browser.get(DEMO)

    link = 'href="/dashboard/concepts/ada/potter/1"'
    assert (link in before.text, link in page.text) == (True, False)
    assert "in its own model" in before.text
    assert "in its own model" not in page.text
    assert "its own picture is not there, or not yours to see" in page.text


async def test_pictures_of_a_number_are_kept_for_ever_and_others_checked(
    browser: httpx.AsyncClient, demo: None
) -> None:
    fixed = await browser.get(f"{DEMO}/pictures/quality.png")
    moving = await browser.get("/dashboard/models/demo/latest/pictures/quality.png")

    assert "immutable" in fixed.headers["cache-control"]
    assert moving.headers["cache-control"] == "private, no-cache"
    assert fixed.content == moving.content
    for path in ("README.md", "previews/none.png", "../../center.db"):
        assert (await browser.get(f"{DEMO}/pictures/{path}")).status_code == 404, path


async def test_the_model_card_is_rendered_without_a_word_of_html(
    browser: httpx.AsyncClient, center: Center, running: Any, concepts: None
) -> None:
    card = f"---\na: b\n---\n# Title\n\n{MARKUP}\n\n![q](quality.png) ![x](https://evil/x.png)\n"
    files = {"README.md": card.encode()}
    published(center, running, "demo", {"ada/potter@1": 0.5}, files=files)

    part = await browser.get(f"{DEMO}/card", headers={"HX-Request": "true"})
    whole = await browser.get(f"{DEMO}/card")

    assert "<h3>Title</h3>" in part.text
    assert "a: b" not in part.text
    assert "<script" not in part.text
    assert f'src="{DEMO}/pictures/quality.png"' in part.text
    assert "evil" not in part.text
    assert "<h1>Model card of demo@1</h1>" in whole.text


async def test_a_withdrawn_concept_is_told_and_the_rest_can_be_fused_again(
    browser: httpx.AsyncClient, center: Center, running: Any, demo: None
) -> None:
    withdraw_cat(running)

    page = await browser.get(DEMO)
    assert "1 concept of this version was withdrawn: ada/cat@1." in page.text
    assert 'class="node gone"' in page.text
    followed = await send(browser, page, "/models/demo/1/refusion")

    place, _, fusion_id = followed.url.path.rpartition("/")
    assert place == "/dashboard/fusions"
    fusion = center.fusions.get(fusion_id, caller=LOCAL)
    assert [concept.name for concept in fusion.concepts] == ["ada/potter"]
    again = await send(browser, page, "/models/demo/1/refusion")
    assert again.url.path == followed.url.path


async def test_a_tombstone_is_explained_before_and_told_after(
    browser: httpx.AsyncClient, center: Center, demo: None
) -> None:
    center.aliases.point("demo", "champion", 1, ADA)

    asked = await browser.get(f"{DEMO}/tombstone")
    assert "<strong>champion</strong> still points at it" in asked.text
    unexplained = await send(browser, asked, "/models/demo/1/tombstone", reason=" ")
    assert (unexplained.status_code, "needs a reason" in unexplained.text) == (422, True)
    done = await send(browser, asked, "/models/demo/1/tombstone", reason="wrong weights")

    assert done.url.path == DEMO
    assert "Tombstoned" in done.text
    assert "wrong weights" in done.text
    assert "mos-client pull" not in done.text
    assert "Kept per concept" in done.text
    for path in ("/card", "/pictures/quality.png"):
        assert (await browser.get(f"{DEMO}{path}")).status_code == 410, path
    assert "tombstoned already" in (await browser.get(f"{DEMO}/tombstone")).text


async def test_members_see_no_buttons_that_they_can_not_use(
    browser: httpx.AsyncClient, center: Center, running: Any, demo: None
) -> None:
    withdraw_cat(running)
    await log_in(browser, center, "ben", Role.MEMBER)

    page = await browser.get(DEMO)
    asked = await browser.get(f"{DEMO}/tombstone")

    for button in ("Fuse again", "Move it here", f'href="{DEMO}/tombstone"'):
        assert button not in page.text, button
    assert "ada or a curator can request it again" in page.text
    assert "Only ada" in asked.text
    answer = await send(browser, page, "/models/demo/1/tombstone", reason="no")
    assert answer.status_code == 403
    assert center.models.get("demo", "1", caller=LOCAL).tombstoned_at is None


async def test_an_alias_leads_to_its_version(
    browser: httpx.AsyncClient, center: Center, running: Any, demo: None
) -> None:
    published(center, running, "demo", {"ada/cat@1": 0.5})
    center.aliases.point("demo", "champion", 1, LOCAL)

    page = await browser.get("/dashboard/models/demo/champion")

    assert "mos-client pull demo@1" in page.text
    assert "the version after" in page.text
    assert (await browser.get("/dashboard/models/demo/9")).status_code == 404


def picture_of_full_scale(center: Center, base: Any, folder: Any) -> None:
    """ada/potter@1, whose package has a picture at LoRA scale 1.0."""
    package = write_package(folder / "pictured", base.layer_map)
    (package / "previews/scale_1.0.png").write_bytes(png())
    reseal(package)
    submit_folder(center, package)
