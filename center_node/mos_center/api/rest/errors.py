"""What each kind of problem means: the pages that a problem's `type` leads to."""

from __future__ import annotations

from html import escape

from fastapi import APIRouter, Path
from fastapi.responses import HTMLResponse
from mos_protocol.error_catalogue import CATALOGUE, Explanation
from mos_protocol.errors import EDGES, Edge, NotFound

from mos_center.api.rest.problems import Problem

router = APIRouter(prefix="/errors", tags=["errors"])

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{code} · Mix-of-Show Federation</title>
<style>
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 3rem auto; }}
</style>
<h1><code>{code}</code></h1>
<p><strong>{title}.</strong></p>
<p>{meaning}</p>
<h2>What to do</h2>
<p>{remedy}</p>
<p>HTTP {http}, gRPC {grpc}, exit code {exit_code}.</p>
</html>
"""


@router.get("/{code}", response_class=HTMLResponse, responses={404: {"model": Problem}})
def explain(code: str = Path(max_length=63)) -> HTMLResponse:
    """What a kind of problem means, and what to do about it."""
    if code not in CATALOGUE:
        raise NotFound(
            f"There is no error {code[:63]!r}.", hint=f"Known: {', '.join(sorted(CATALOGUE))}."
        )
    return HTMLResponse(_page(code, CATALOGUE[code], EDGES[code]))


def _page(code: str, told: Explanation, edge: Edge) -> str:
    return _PAGE.format(
        code=escape(code),
        title=escape(told.title),
        meaning=_prose(told.meaning),
        remedy=_prose(told.remedy),
        **edge._asdict(),
    )


def _prose(text: str) -> str:
    """The text with what stands between backquotes as code."""
    parts = escape(text).split("`")
    return "".join(
        f"<code>{part}</code>" if number % 2 else part for number, part in enumerate(parts)
    )
