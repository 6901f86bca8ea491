"""The audit page: changes in words, filters, and the state of the chain."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from center_steps import fuse
from dashboard_steps import MARKUP, log_in
from mos_center.dashboard.operations.audit import CHAIN_STEP
from mos_center.dashboard.operations.audit_words import SENTENCES, worded
from mos_center.domain.access import LOCAL, Role, Visibility
from mos_center.domain.audit_actions import AUDIT_ACTIONS
from mos_center.domain.events import AuditEvent
from mos_center.domain.models import Submission
from mos_center.opening import OpenedData
from mos_center.service.center import Center
from mos_center.service.members import MemberChange
from sqlalchemy import text

PART = {"HX-Request": "true"}


@pytest.fixture
async def admin(browser: httpx.AsyncClient, center: Center) -> httpx.AsyncClient:
    """A browser in which an admin is logged in."""
    await log_in(browser, center, "root", Role.ADMIN)
    return browser


def said(page: httpx.Response) -> list[str]:
    """The sentences on the page."""
    found = re.findall(r'<div class="row-head"><span>(.*?)</span><span', page.text, re.S)
    return [" ".join(html.unescape(re.sub(r"<[^>]+>", "", one)).split()) for one in found]


def write(data: OpenedData, count: int) -> None:
    for number in range(count):
        with data.database.write() as transaction:
            transaction.audit.record(AuditEvent("ada", "alias.moved", f"model/demo@a-{number}"))


def tamper(data: OpenedData, seq: int) -> None:
    with data.database.engine.begin() as connection:
        connection.execute(text("DROP TRIGGER audit_log_refuses_update"))
        connection.execute(text(f"UPDATE audit_log SET actor = 'eve' WHERE seq = {seq}"))


async def test_changes_are_told_in_words_newest_first(
    admin: httpx.AsyncClient, running: Any, center: Center, submit: Callable[..., Submission]
) -> None:
    submission = submit(concept="ada/potter")
    fusion = fuse(center, running.data, "demo", ["ada/potter@1"])
    center.aliases.point("demo", "champion", 1, LOCAL)
    center.members.add("bob", caller=LOCAL)
    center.members.change("bob", MemberChange(role=Role.CURATOR), caller=LOCAL)
    center.concepts.show("ada", "potter", Visibility.PUBLIC, caller=LOCAL)
    center.concepts.share("ada", "potter", "bob", caller=LOCAL)

    page = await admin.get("/dashboard/audit")

    assert said(page)[:6] == [
        "local shared ada/potter with bob",
        "local changed who sees ada/potter",
        "local changed the member bob",
        "local added the member bob",
        "local moved the alias demo@champion",
        "system published demo@1",
    ]
    assert "system approved ada/potter@1" in said(page)
    assert "<del>member</del> → <ins>curator</ins>" in page.text
    for path in (
        f"submissions/{submission.id}",
        f"fusions/{fusion.id}",
        "models/demo/champion",
        "members/bob",
        "concepts/ada/potter",
    ):
        assert f'href="/dashboard/{path}"' in page.text
        assert (await admin.get(f"/dashboard/{path}")).status_code == 200, path


async def test_filters_are_in_the_address_and_in_the_form(
    admin: httpx.AsyncClient, center: Center
) -> None:
    for name in ("ada", "bob"):
        center.members.add(name, caller=LOCAL)
        center.tokens.create(name, "ci", caller=LOCAL)

    async def found(**query: str) -> list[str]:
        return said(await admin.get("/dashboard/audit", params=query))

    assert await found(action="member.", resource="member/b") == ["local added the member bob"]
    assert await found(actor="nobody") == []
    assert await found(action="token.created", actor="local", resource="token/ada") == [
        "local created the token ada/ci"
    ]
    assert await found(since="2020-01-01", until="2020-01-02") == []
    everything = await found(since="2020-01-01", until="9999-12-30")
    assert len(everything) == 6
    page = await admin.get("/dashboard/audit?action=member.&resource=member/b&actor=local")
    assert '<option value="member." selected>' in page.text
    assert 'name="resource" value="member/b"' in page.text


@pytest.mark.parametrize("day", ["yesterday", "2026-02-30", "9999-12-31"])
async def test_what_is_no_day_is_told(admin: httpx.AsyncClient, day: str) -> None:
    page = await admin.get("/dashboard/audit", params={"until": day})

    assert page.status_code == 422
    assert "is no day" in page.text


async def test_pages_go_back_to_the_first_entry(admin: httpx.AsyncClient, running: Any) -> None:
    write(running.data, 120)

    seen, address = [], "/dashboard/audit?actor=ada"
    while address:
        page = await admin.get(address)
        seen += said(page)
        following = re.search(r'href="([^"]+)" rel="next"', page.text)
        address = html.unescape(following[1]) if following else ""

    assert seen == [f"ada moved the alias demo@a-{number}" for number in reversed(range(120))]


async def test_an_entry_shows_its_request_and_hashes(admin: httpx.AsyncClient) -> None:
    page = await admin.get("/dashboard/audit")

    assert re.search(r"<dt>Hash</dt><dd><code>[0-9a-f]{64}</code>", page.text)
    assert "none: from a command line" in page.text


async def test_markup_in_an_entry_stays_text(admin: httpx.AsyncClient, running: Any) -> None:
    event = AuditEvent(MARKUP, MARKUP, f"model/{MARKUP}", {"x": MARKUP}, {MARKUP: [MARKUP]})
    with running.data.database.write() as transaction:
        transaction.audit.record(event)

    page = await admin.get("/dashboard/audit")

    assert "<script>alert" not in page.text
    assert "&lt;script&gt;" in page.text


async def test_the_chain_is_checked_step_by_step(admin: httpx.AsyncClient, running: Any) -> None:
    write(running.data, 2 * CHAIN_STEP)
    page = await admin.get("/dashboard/audit")
    assert 'hx-get="/dashboard/audit/chain" hx-trigger="load"' in page.text

    address, steps = "/dashboard/audit/chain", 0
    while address:
        part = await admin.get(address, headers=PART)
        following = re.search(r'hx-get="([^"]+)"', part.text)
        address, steps = html.unescape(following[1]) if following else "", steps + 1

    assert steps == 3
    assert "<html" not in part.text
    proven = running.center.audit.verify(caller=LOCAL)
    assert str(proven.last) in part.text
    assert "checked just now" in part.text


async def test_a_broken_chain_is_told_with_what_to_do(
    admin: httpx.AsyncClient, running: Any
) -> None:
    write(running.data, 3)
    proven = running.center.audit.verify(caller=LOCAL).last
    tamper(running.data, 2)

    whole = await admin.get("/dashboard/audit/chain")
    later = await admin.get(f"/dashboard/audit/chain?seq={proven.seq}&hash={proven.hash}")
    other = await admin.get(f"/dashboard/audit/chain?seq={proven.seq}&hash={'ab' * 32}")

    assert "Entry 2: its content is not what its hash was made of" in whole.text
    assert "Keep a copy of the database" in whole.text
    assert "checked just now" in later.text
    assert "The log is not as it was written" in other.text


async def test_without_scripts_the_next_part_is_a_link(
    admin: httpx.AsyncClient, running: Any
) -> None:
    write(running.data, CHAIN_STEP)

    page = await admin.get("/dashboard/audit/chain")

    assert "<h1>Is the log as it was written?</h1>" in page.text
    following = re.search(r'<a class="button plain" href="([^"]+)">Check the next part', page.text)
    assert "checked just now" in (await admin.get(html.unescape(following[1]))).text


@pytest.mark.parametrize("query", ["seq=1&hash=x", "seq=-1", "seq=1e9", "hash=" + "g" * 64])
async def test_a_checkpoint_that_is_none_is_refused(admin: httpx.AsyncClient, query: str) -> None:
    assert (await admin.get(f"/dashboard/audit/chain?{query}")).status_code == 422


async def test_an_open_center_shows_its_log(browser: httpx.AsyncClient, center: Center) -> None:
    empty = await browser.get("/dashboard/audit")
    assert "Nothing has happened yet" in empty.text
    center.members.add("ada", caller=LOCAL)
    assert said(await browser.get("/dashboard/audit")) == ["local added the member ada"]


def test_every_action_has_its_words() -> None:
    assert SENTENCES.keys() == set(AUDIT_ACTIONS)
    assert all(sentence.count("{}") == 1 for sentence in SENTENCES.values())


@pytest.mark.parametrize(
    ("event", "sentence", "path"),
    [
        (
            AuditEvent("a", "version.tombstoned", "model/demo@3"),
            "tombstoned demo@3",
            "models/demo/3",
        ),
        (AuditEvent("a", "base.added", "base/sd15"), "registered the base sd15", "system#bases"),
        (
            AuditEvent("a", "token.created", "token/ada/ci"),
            "created the token ada/ci",
            "tokens?member=ada",
        ),
        (AuditEvent("a", "webhook.added", "webhook/1"), "added the webhook 1", ""),
        (
            AuditEvent("a", "invitation.created", "invitation/1", None, {"name": None}),
            "invited a newcomer",
            "members",
        ),
        (
            AuditEvent(
                "a", "concept_audit.done", "concept_audit/1", None, {"concept": "ada/cat@2"}
            ),
            "audited ada/cat@2",
            "concepts/ada/cat/2",
        ),
        (
            AuditEvent(
                "a",
                "submission.uploading",
                "submission/1",
                None,
                {"concept": "ada/cat", "version": None},
            ),
            "began to upload ada/cat",
            "submissions/1",
        ),
        (AuditEvent("a", "concept.shown", "concept/odd"), "changed who sees odd", ""),
        (AuditEvent("a", "tried", "thing/7"), "did tried to 7", ""),
        (AuditEvent("a", "tried", "thing"), "did tried to thing", ""),
        (
            AuditEvent("a", "fusion.failed", "fusion/1", None, {"unreadable": "[x"}),
            "gave up the fusion into 1",
            "fusions/1",
        ),
    ],
    ids=lambda value: value.action if isinstance(value, AuditEvent) else None,
)
def test_a_change_is_a_sentence_about_a_page(event: AuditEvent, sentence: str, path: str) -> None:
    wording = worded(event)

    assert f"{wording.verb} {wording.thing} {wording.rest}".strip() == sentence
    assert wording.path == path


def test_differences_are_short_and_say_each_thing_once() -> None:
    concepts = [f"ada/c-{number}@1" for number in range(20)]
    requested = AuditEvent(
        "ada", "fusion.requested", "fusion/1", None, {"model": "m", "concepts": concepts, "x": ""}
    )
    changed = AuditEvent(
        "root", "member.changed", "member/a", {"trusted": True, "n": 1}, {"trusted": False, "n": 1}
    )

    (told,) = worded(requested).differences
    (trusted,) = worded(changed).differences

    assert told.after.endswith("ada/c-7@1 and 12 more")
    assert (trusted.name, trusted.before, trusted.after) == ("trusted", "yes", "no")


def test_a_long_reason_is_cut_short() -> None:
    event = AuditEvent("rita", "submission.rejected", "submission/x", after={"reason": "no " * 600})

    (difference,) = worded(event).differences

    assert difference.after.startswith("no no")
    assert len(difference.after) < 350
