from __future__ import annotations

import pytest
from mos_center.dashboard.models.card import card_html, without_front_matter


def html(text: str) -> str:
    """The card's HTML, where `known.png` is a picture of the version."""
    return str(card_html(text, lambda path: "/pictures/known.png" if path == "known.png" else None))


@pytest.mark.parametrize(
    "text",
    [
        '<script>alert("1")</script>',
        "<img src=x onerror=alert(1)>",
        "[a](javascript:alert(1))",
        "[a](data:text/html,x)",
        "![a](data:image/png;base64,AAAA)",
        "![a](https://evil.example/x.png)",
        '[a](https://x.example/"onclick="alert(1))',
        "<https://x.example/><b>",
        "| a |\n|--:|\n| <b onclick=x> |",
        "```<b>\n<b>\n```",
    ],
)
def test_nothing_of_a_card_becomes_html_of_its_own(text: str) -> None:
    made = html(text)

    for tag in ("<script", "<img", "<b", "style=", 'href="javascript', 'href="data', ' onclick="'):
        assert tag not in made, made


def test_what_markdown_can_say_is_shown() -> None:
    made = html("# One\n\n#### Four\n\n**bold** `code` [web](https://x.example/)\n\n| a |\n|---|\n")

    assert "<h3>One</h3>" in made
    assert "<h6>Four</h6>" in made
    assert "<strong>bold</strong>" in made
    assert '<a href="https://x.example/" rel="noreferrer nofollow">web</a>' in made
    assert "<table>" in made


def test_only_pictures_of_the_version_are_drawn() -> None:
    made = html("![mine](known.png) ![theirs](other.png) [there](known.png)")

    assert '<img src="/pictures/known.png" alt="mine" loading="lazy">' in made
    assert made.count("<img") == 1
    assert 'href="known.png"' not in made


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("---\na: b\n---\n# T", "# T"),
        ("# T\n---\n", "# T\n---\n"),
        ("---\nnever ends", "---\nnever ends"),
        ("", ""),
    ],
)
def test_front_matter_is_left_out(text: str, rest: str) -> None:
    assert without_front_matter(text) == rest
