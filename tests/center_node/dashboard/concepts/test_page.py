from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from center_steps import fuse, send_files, submit_folder
from concept_packages import edit_manifest, write_package
from dashboard_steps import MARKUP, log_in, review_by_hand, send
from mos_center.domain.access import LOCAL, Role, Visibility
from mos_center.domain.ids import new_id
from mos_center.domain.models import BaseRecord, ConceptRecord, Submission
from mos_center.domain.states import SubmissionState
from mos_center.service.center import Center
from mos_protocol.manifest import parse_manifest

POTTER = "/dashboard/concepts/ada/potter/1"


async def test_a_concept_shows_what_it_is_and_what_left_its_client(
    browser: httpx.AsyncClient, center: Center, submit: Callable[..., Submission], running: Any
) -> None:
    submission = submit(licence="CC0-1.0", consent="given in writing")
    fuse(center, running.data, "demo", ["ada/potter@1"])

    page = await browser.get(POTTER)

    for text in ("&lt;potter1&gt;", "CC0-1.0", "given in writing", "6 at 64 pixels", "Fuse it"):
        assert text in page.text
    assert "2 files of averaged layer statistics" in page.text
    assert submission.manifest.files[0].sha256 in page.text
    assert "/dashboard/models/demo/1" in page.text


async def test_a_preview_is_shown_small_and_whole(
    browser: httpx.AsyncClient, submit: Callable[..., Submission]
) -> None:
    submit()

    whole = await browser.get(f"{POTTER}/previews/0.7.png")
    again = await browser.get(
        f"{POTTER}/previews/0.7.png", headers={"If-None-Match": whole.headers["etag"]}
    )

    assert whole.headers["content-type"] == "image/png"
    assert whole.headers["x-content-type-options"] == "nosniff"
    assert again.status_code == 304
    assert (await browser.get(f"{POTTER}/previews/other.png")).status_code == 404


async def test_the_name_alone_leads_to_the_newest_version(
    browser: httpx.AsyncClient, submit: Callable[..., Submission]
) -> None:
    submit()
    submit()

    page = await browser.get("/dashboard/concepts/ada/potter")

    assert page.url.path == "/dashboard/concepts/ada/potter/2"


async def test_a_package_without_a_version_has_a_page_of_its_own(
    browser: httpx.AsyncClient, center: Center, base: BaseRecord, tmp_path: Path
) -> None:
    folder = write_package(tmp_path / "unsent", base.layer_map)
    submission = send_files(center, folder)

    page = await browser.get(f"/dashboard/submissions/{submission.id}")

    assert "uploading" in page.text
    assert "goes on where the upload stopped" in page.text


async def test_an_owner_changes_who_sees_it(
    browser: httpx.AsyncClient, center: Center, submit: Callable[..., Submission]
) -> None:
    submit()
    center.members.add("ben", caller=LOCAL)
    await log_in(browser, center, "ada", Role.MEMBER)
    page = await browser.get(POTTER)

    await send(browser, page, "/concepts/ada/potter/visibility", visibility="shared")
    shared = await send(browser, page, "/concepts/ada/potter/shares", member="ben")
    unknown = await send(browser, page, "/concepts/ada/potter/shares", member="nobody")
    odd = await send(browser, page, "/concepts/ada/potter/visibility", visibility="odd")

    record = center.concepts.overview("ada", "potter", caller=LOCAL).concept
    assert (record.visibility, record.shares) == (Visibility.SHARED, ("ben",))
    assert "ben sees ada/potter" in shared.text
    assert (unknown.status_code, odd.status_code) == (404, 422)
    await send(browser, page, "/concepts/ada/potter/shares", member="ben", remove="yes")
    assert center.concepts.overview("ada", "potter", caller=LOCAL).concept.shares == ()


async def test_others_see_no_form_that_is_not_theirs_and_can_not_send_it(
    browser: httpx.AsyncClient, center: Center, submit: Callable[..., Submission]
) -> None:
    submit()
    center.concepts.show("ada", "potter", Visibility.PUBLIC, caller=LOCAL)
    start = await log_in(browser, center, "ben", Role.MEMBER)

    page = await browser.get(POTTER)
    shown = await send(browser, start, "/concepts/ada/potter/visibility", visibility="private")
    taken = await send(browser, start, "/concepts/ada/potter/1/withdraw", reason="mine now")
    asked = await browser.get(f"{POTTER}/withdraw")

    assert "Who sees it" not in page.text
    assert "Withdraw" not in page.text
    assert "Audit it" not in page.text
    assert [shown.status_code, taken.status_code, asked.status_code] == [403, 403, 404]


async def test_a_hidden_concept_is_not_there(
    browser: httpx.AsyncClient, center: Center, submit: Callable[..., Submission]
) -> None:
    submit()
    await log_in(browser, center, "ben", Role.MEMBER)

    for path in (POTTER, f"{POTTER}/previews/0.7.png", f"{POTTER}/models"):
        assert (await browser.get(path)).status_code == 404
    assert "ada/potter" not in (await browser.get("/dashboard/concepts")).text


async def test_a_withdrawal_says_first_what_it_does_and_then_does_it(
    browser: httpx.AsyncClient, center: Center, submit: Callable[..., Submission], running: Any
) -> None:
    submit()
    submit(concept="ada/chair", words=("<chair1>",))
    fuse(center, running.data, "demo", ["ada/potter@1", "ada/chair@1"])
    await log_in(browser, center)

    asked = await browser.get(f"{POTTER}/withdraw")
    nothing = await send(browser, asked, "/concepts/ada/potter/1/withdraw", reason="")
    done = await send(browser, asked, "/concepts/ada/potter/1/withdraw", reason="asked to")

    assert "demo" in asked.text
    assert "tombstoned" in asked.text
    assert nothing.status_code == 422
    assert "it is in 1 model version." in done.text
    assert "Fuse again without it" in done.text
    found = center.concepts.get("ada", "potter", 1, caller=LOCAL)
    assert (found.state, found.reason) == (SubmissionState.WITHDRAWN, "asked to")


async def test_a_curator_has_the_statistics_audited(
    browser: httpx.AsyncClient, center: Center, submit: Callable[..., Submission], running: Any
) -> None:
    submit()
    await log_in(browser, center)
    page = await browser.get(POTTER)

    asked = await send(browser, page, "/concepts/ada/potter/1/audit")

    assert "the result appears here" in asked.text
    (audit,) = center.concept_audits.of("ada", "potter", 1, caller=LOCAL)
    assert audit.requested_by == "rita"


async def test_an_imported_concept_is_shown_as_one(
    browser: httpx.AsyncClient, running: Any, package: Path
) -> None:
    source = {"file": "cat.safetensors", "sha256": "ab" * 32, "words_from": "class_word"}
    edit_manifest(package, lambda m: m.update(method="imported", source=source, training=None))
    submit_folder(running.data.center(), package)

    page = await browser.get(POTTER)
    cards = await browser.get("/dashboard/concepts")

    assert "cat.safetensors" in page.text
    assert "imported" in cards.text


async def test_markup_in_a_package_stays_text(
    browser: httpx.AsyncClient, running: Any, base: BaseRecord, tmp_path: Path
) -> None:
    center = review_by_hand(running)
    texts = dict.fromkeys(("licence", "consent", "description"), MARKUP)
    folder = write_package(tmp_path / "hostile", base.layer_map, **texts)
    submission = submit_folder(center, folder)
    pages = [await browser.get("/dashboard/concepts"), await browser.get(POTTER)]
    center.submissions.reject(submission.id, MARKUP, LOCAL)
    pages += [
        await browser.get("/dashboard/concepts"),
        await browser.get(f"/dashboard/submissions/{submission.id}"),
    ]

    for page in pages:
        assert page.status_code == 200
        assert "<script>" not in page.text
        assert "&lt;script&gt;" in page.text


async def test_a_page_of_the_longest_manifest_stays_light(
    browser: httpx.AsyncClient, running: Any, base: BaseRecord, tmp_path: Path
) -> None:
    folder = write_package(tmp_path / "long", base.layer_map)
    texts = dict.fromkeys(("licence", "consent", "description"), "<&>" * 666)
    file = {"size": 1 << 36, "sha256": "ab" * 32}
    names = [
        {"path": f"moments/{'m' * 76}{number:04}.safetensors", **file} for number in range(250)
    ]

    def lengthen(manifest: dict[str, Any]) -> None:
        manifest.update(texts)
        manifest["files"] += names
        manifest["training"]["loss_curve"] = [1 / 3 + number / 7 for number in range(512)]

    edit_manifest(folder, lengthen)
    manifest = parse_manifest((folder / "manifest.json").read_bytes())
    with running.data.database.write() as transaction:
        transaction.concepts.add(
            ConceptRecord("ada", "potter", Visibility.PUBLIC, datetime.now(UTC))
        )
        transaction.submissions.add(
            Submission(
                id=new_id(),
                manifest=manifest,
                manifest_digest=manifest.digest(),
                base="small",
                state=SubmissionState.APPROVED,
                created_at=datetime.now(UTC),
                submitted_by="ada",
                version=1,
            )
        )

    page = await browser.get(POTTER)
    file = await browser.get(f"{POTTER}/manifest.json")

    assert page.status_code == 200
    assert len(page.content) < 200_000
    assert file.content == manifest.to_bytes()
    assert "attachment" in file.headers["content-disposition"]


async def test_a_concept_with_many_versions_shows_the_newest(
    browser: httpx.AsyncClient, submit: Callable[..., Submission]
) -> None:
    for _ in range(14):
        submit()

    page = await browser.get("/dashboard/concepts/ada/potter/14")

    assert "@13</a>" in page.text
    assert "@2</a>" not in page.text
    assert "All its versions" in page.text
