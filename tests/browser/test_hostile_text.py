"""Whatever strangers write stays text on every page that shows it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

import pytest
from center_steps import send_files
from mos_center.domain.access import LOCAL
from mos_center.opening import opened
from mos_center.settings import Settings
from mos_protocol.errors import MosError
from mos_protocol.manifest import CONCEPT_FILE, ImportSummary
from playwright.sync_api import Page, expect
from safetensors.numpy import load_file, save_file
from tiny_package import relist
from town import Town

# What would be noticed: an element, a script that runs, an event that fires, a link that leads
# away. It ends what it may stand in: an attribute, a tag, a comment, a list of JSON.
MARKUP = (
    "'\"]}--></title></textarea><script>window.owned=1</script>"
    "<img src=x class=planted onerror=window.owned=1><a href=javascript:owned=1>l</a>{{7*7}}"
)
SHORT = "<b class=planted onclick=owned=1>b</b><script>owned=1</script>"
OWN_SCRIPTS = 4


@dataclass(frozen=True)
class Hostile:
    """Submissions that were turned down, by a person and by the checks."""

    rejected: str
    refused: str


@pytest.fixture(scope="module")
def hostile(town: Town) -> Hostile:
    """Everything that can hold the text does."""
    texts = {"description": MARKUP, "licence": MARKUP, "consent": MARKUP, "tool": SHORT}
    source = ImportSummary(
        file=MARKUP, sha256="ab" * 32, words_from="trigger", trigger=f"{SHORT} {{{{7*7}}}}"
    )
    town.submit("ada/hostile", **texts)
    town.submit("bob/imported", package=1, approved=False, method="imported", source=source,
                training=None, **texts)  # fmt: skip
    rejected = town.submit("ada/hostile-too", approved=False, **texts)
    town.submit("bob/withdrawn-text", package=1, **texts)
    with town.session("rita") as rita:
        rita.reject(rejected, MARKUP)
    town.fuse("hostile", "ada/hostile", previews=True)
    town.fuse("hostile", "ada/hostile", "bob/withdrawn-text")
    with town.session("bob") as bob:
        bob.withdraw_concept("bob/withdrawn-text@1", MARKUP)
    return Hostile(rejected, _refused(town))


def _refused(town: Town) -> str:
    """A package whose tensors are called like the text: what is wrong with it is told."""
    package = town.packed("bob/tensors", description=MARKUP)
    tensors = load_file(package / CONCEPT_FILE)
    tensors[SHORT] = next(iter(tensors.values()))
    save_file(tensors, package / CONCEPT_FILE, metadata={"format": "mos-concept/1"})
    relist(package)
    # A client of ours would not even send it.
    with opened(Settings(data=town.data)) as data:
        center = data.center()
        submission = send_files(center, package)
        with pytest.raises(MosError, match="onclick"):
            center.validation.commit(submission.id, caller=LOCAL)
    return submission.id


def check(page: Page) -> None:
    """Nothing of the text became anything but text."""
    page.wait_for_load_state("load")
    page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    found = page.evaluate(
        """() => ({
          owned: window.owned === undefined,
          planted: document.querySelectorAll(".planted, img[src=x]").length,
          scripts: document.scripts.length,
          links: [...document.links].filter((one) => one.protocol === "javascript:").length,
          handlers: [...document.querySelectorAll("*")].filter(
            (one) => [...one.attributes].some((it) => /^on/i.test(it.name))).length,
          styled: document.querySelectorAll("[style]").length,
        })"""
    )
    assert found == {"owned": True, "planted": 0, "scripts": OWN_SCRIPTS, "links": 0,
                     "handlers": 0, "styled": 0}, page.url  # fmt: skip


def shows(page: Page, text: str = MARKUP) -> None:
    """It is read on the page, letter for letter."""
    content = page.evaluate("document.querySelector('main').textContent")
    assert text in content, page.url


def test_what_a_package_says_is_text(visit, hostile: Hostile) -> None:
    with visit("root") as page:
        for address in (
            "concepts/ada/hostile/1",
            "concepts/bob/imported/1",
            "concepts/bob/withdrawn-text/1",
            f"submissions/{hostile.rejected}",
            f"submissions/{hostile.refused}",
        ):
            page.goto(f"/dashboard/{address}")
            check(page)
            shows(page)
        shows(page, SHORT)
        page.goto("/dashboard/concepts/bob/imported/1")
        shows(page, f"{SHORT} {{{{7*7}}}}")


def test_lists_and_the_overview_show_it_as_text(visit, hostile: Hostile) -> None:
    with visit("root") as page:
        for address in ("", "concepts", "concepts?state=rejected", "concepts?state=pending_review",
                        "fusions", "models", "audit", "members/ada"):  # fmt: skip
            page.goto(f"/dashboard/{address}")
            check(page)
        page.goto("/dashboard/audit?actor=rita")
        shows(page)
        page.goto("/dashboard/concepts?state=rejected&q=hostile-too")
        # Shortened there.
        shows(page, MARKUP[:100])


def test_a_model_made_of_it_shows_it_as_text(visit, hostile: Hostile) -> None:
    with visit("ada") as page:
        for address in ("models/hostile/1", "models/hostile/1/card", "models/hostile/2",
                        "models/hostile", "models/hostile/2/tombstone",
                        "models/compare?left=hostile@1&right=hostile@2"):  # fmt: skip
            page.goto(f"/dashboard/{address}")
            check(page)
        page.goto("/dashboard/models/hostile/2")
        shows(page)


def test_what_an_address_says_is_text(visit, hostile: Hostile) -> None:
    text = quote(MARKUP, safe="")
    short = quote("<script>owned=1</script>", safe="")
    addresses = [
        f"login?then={text}",
        f"login?then={quote('javascript:owned=1')}",
        *(f"concepts?{name}={text}" for name in ("q", "owner", "base", "class_word")),
        f"concepts?state={short}&sort={short}&visibility={short}",
        f"concepts?after={text}",
        f"concepts/{short}/{short}/1",
        f"concepts/ada/hostile/{short}",
        f"submissions/{short}",
        *(f"fusions?{name}={text}" for name in ("q", "base", "requested_by", "concept")),
        f"fusions/new?base={text}&model={text}",
        f"fusions/new?concept={text}",
        f"fusions/{short}",
        *(f"models?{name}={text}" for name in ("q", "base", "concept", "owner", "sort")),
        f"models/{short}",
        f"models/hostile/{short}",
        f"models/hostile/1/layers?block={text}",
        f"models/compare?left={text}&right={text}",
        *(f"audit?{name}={text}" for name in ("actor", "action", "resource", "since", "until")),
        f"audit/chain?hash={text}",
        f"members?q={text}&role={text}",
        f"members/{short}",
        f"tokens?member={text}",
        text,
    ]
    with visit("root", expected={404, 422}) as page:
        for address in addresses:
            answer = page.goto(f"/dashboard/{address}")
            assert answer.status in (200, 404, 422), address
            check(page)


def test_what_somebody_types_into_a_form_comes_back_as_text(visit, hostile: Hostile) -> None:
    with visit("root", expected={401, 404, 409, 422}) as page:
        page.goto("/dashboard/fusions/new?concept=ada/hostile@1")
        page.get_by_label("Name of the model").fill(MARKUP[:63])
        page.locator('[name="weight.ada/hostile@1"]').fill(SHORT)
        page.get_by_label("Search approved concepts").fill(MARKUP[:120])
        expect(page.locator("#why-not")).to_be_visible()
        page.get_by_role("button", name="Check again").click()
        check(page)
        forms = {
            "tokens": {"name": SHORT, "scope": SHORT, "days": SHORT},
            "members/invitations": {"name": SHORT, "role": SHORT, "hours": SHORT},
            "members/ada": {"role": SHORT, "storage": SHORT},
            "models/hostile/aliases": {"alias": SHORT, "version": SHORT},
            f"models/hostile/aliases/{quote(SHORT, safe='')}/remove": {},
            "concepts/ada/hostile/visibility": {"visibility": SHORT},
            "concepts/ada/hostile/shares": {"member": SHORT},
            "concepts/review": {"decision": "reject", "reason": MARKUP, "submission": SHORT},
            "fusions": {"model": SHORT, "base": SHORT, "concept": SHORT, "solver": SHORT},
            "fusions/new": {"add": SHORT, "weight": SHORT, "export": SHORT},
            "login": {"token": MARKUP, "then": MARKUP},
        }
        page.goto("/dashboard/tokens")
        csrf = page.locator("input[name=csrf]").first.input_value()
        for path, fields in forms.items():
            page.goto("/dashboard/tokens")
            _send(page, f"/dashboard/{path}", {"csrf": csrf, **fields})
            check(page)


def _send(page: Page, path: str, fields: dict[str, str]) -> None:
    """Send a form as the page that is open could."""
    with page.expect_navigation():
        page.evaluate(
            """([path, fields]) => {
              const form = document.createElement("form");
              form.method = "post";
              form.action = path;
              for (const [name, value] of Object.entries(fields)) {
                const input = document.createElement("input");
                [input.name, input.value] = [name, value];
                form.append(input);
              }
              document.body.append(form);
              form.submit();
            }""",
            [path, fields],
        )
