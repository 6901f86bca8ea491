"""Model cards as HTML: what markdown can say, and nothing else.

A card quotes strangers. No HTML of theirs passes, links lead to the web alone, and pictures are
those of the version or none.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict
from markupsafe import Markup, escape

_FENCE = "---\n"
_WEB = ("https://", "http://")
_TOP_LEVEL = 2
_LOWEST = 6

Picture = Callable[[str], str | None]
"""The address of a picture by the path that the card gives; None: it is left out."""


def card_html(text: str, picture: Picture) -> Markup:
    """The card without its front matter; its headings begin below those of a page."""
    markdown = _Markdown(picture)
    environment: MutableMapping[str, Any] = {"picture": picture}
    tokens = markdown.parse(without_front_matter(text), environment)
    for token in tokens:
        _soften(token)
    return Markup(markdown.renderer.render(tokens, markdown.options, environment))


def without_front_matter(text: str) -> str:
    """The text after the YAML between two lines of dashes, if it begins with that."""
    if not text.startswith(_FENCE):
        return text
    return text[len(_FENCE) :].partition(f"\n{_FENCE}")[2] or text


def _soften(token: Token) -> None:
    """Lower headings below the page's, and drop styles, which no page of ours may have."""
    token.attrs.pop("style", None)
    if token.type in ("heading_open", "heading_close"):
        token.tag = f"h{min(_LOWEST, int(token.tag[1]) + _TOP_LEVEL)}"


class _Markdown(MarkdownIt):
    """CommonMark with tables and without HTML; what is neither web nor picture is no link."""

    def __init__(self, picture: Picture) -> None:
        super().__init__("commonmark", {"html": False}, renderer_cls=_Renderer)
        self.enable("table")
        self._picture = picture

    def validateLink(self, url: str) -> bool:  # noqa: N802 - the name is the library's
        return url.startswith(_WEB) or self._picture(url) is not None


class _Renderer(RendererHTML):
    """Draws pictures that the version has, and tells the others' names."""

    def image(
        self,
        tokens: Sequence[Token],
        index: int,
        options: OptionsDict,
        env: MutableMapping[str, Any],
    ) -> str:
        token = tokens[index]
        address = env["picture"](str(token.attrs["src"]))
        alt = self.renderInlineAsText(token.children, options, env)
        if address is None:
            return str(escape(alt))
        return str(Markup('<img src="{}" alt="{}" loading="lazy">').format(address, alt))

    def link_open(
        self,
        tokens: Sequence[Token],
        index: int,
        options: OptionsDict,
        env: MutableMapping[str, Any],
    ) -> str:
        address = str(tokens[index].attrs["href"])
        # What is a picture of the version is no page to go to.
        if not address.startswith(_WEB):
            return "<a>"
        return str(Markup('<a href="{}" rel="noreferrer nofollow">').format(address))
