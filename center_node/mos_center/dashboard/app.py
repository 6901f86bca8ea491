"""The dashboard's application: its own errors, headers and login, mounted beside the REST API."""

from __future__ import annotations

import asyncio

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from mos_protocol.errors import EDGES, MosError, Unauthenticated
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mos_center.dashboard import assets, login, overview
from mos_center.dashboard.compositions import page as compositions
from mos_center.dashboard.compositions import request as composition_request
from mos_center.dashboard.concepts import catalogue as concepts
from mos_center.dashboard.concepts import changes as concept_changes
from mos_center.dashboard.concepts import page as concept
from mos_center.dashboard.formatting import link
from mos_center.dashboard.fusions import page as fusion
from mos_center.dashboard.fusions import queue as fusions
from mos_center.dashboard.fusions import request as fusion_request
from mos_center.dashboard.members import page as members
from mos_center.dashboard.members import tokens
from mos_center.dashboard.models import catalogue as models
from mos_center.dashboard.models import compare
from mos_center.dashboard.models import evaluation as evaluations
from mos_center.dashboard.models import version as versions
from mos_center.dashboard.operations import audit, system
from mos_center.dashboard.pictures import Thumbnails
from mos_center.dashboard.rendering import is_fragment, redirect, render
from mos_center.dashboard.visitor import PATH, check_page_right, visitor_of
from mos_center.service.center import Center
from mos_center.settings import Settings

__all__ = ["PATH", "create_dashboard"]

# In this order: what comes later takes whatever path is left.
NOUNS = (
    assets,
    login,
    overview,
    concepts,
    concept,
    concept_changes,
    fusions,
    fusion_request,
    fusion,
    composition_request,
    compositions,
    compare,
    evaluations,
    models,
    versions,
    tokens,
    members,
    audit,
    system,
)
# Nothing is loaded from elsewhere, only our own files run, no other site frames a page or gets a
# form.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    # Without any referrer, browsers send `Origin: null` with our own forms, which we refuse.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def create_dashboard(center: Center, settings: Settings, stopping: asyncio.Event) -> FastAPI:
    """Build the application; mount it at `PATH`. Streams end when `stopping` is set."""
    app = FastAPI(openapi_url=None, dependencies=[Depends(check_page_right)])
    app.state.center = center
    app.state.settings = settings
    app.state.stopping = stopping
    app.state.pictures = Thumbnails(center.blobs)
    for noun in NOUNS:
        app.include_router(noun.router)
    _install_errors(app)
    app.add_middleware(_SafeHeaders)
    return app


def _install_errors(app: FastAPI) -> None:
    @app.exception_handler(Unauthenticated)
    def on_stranger(request: Request, error: Unauthenticated) -> Response:
        wanted = str(request.url.path) if request.method == "GET" else ""
        if wanted and request.url.query:
            wanted += f"?{request.url.query}"
        return redirect(request, None, link("login", then=wanted))

    @app.exception_handler(MosError)
    def on_error(request: Request, error: MosError) -> HTMLResponse:
        status = EDGES.get(error.code, EDGES[MosError.code]).http
        return _told(request, status, error.message, error.hint)

    @app.exception_handler(RequestValidationError)
    def on_wrong_address(request: Request, error: RequestValidationError) -> HTMLResponse:
        where = ".".join(str(part) for part in error.errors()[0]["loc"][1:])
        return _told(request, 422, f"The address is not valid: {where}.", "Correct it, or go back.")

    @app.exception_handler(HTTPException)
    def on_http(request: Request, error: HTTPException) -> HTMLResponse:
        return _told(request, error.status_code, f"{error.detail}.", "Go back to the overview.")


def _told(request: Request, status: int, message: str, hint: str) -> HTMLResponse:
    """Say what went wrong: on a page of its own, or inside the page that asked for a part."""
    template = "parts/problem.html" if is_fragment(request) else "error.html"
    try:
        visitor = visitor_of(request)
    except MosError:
        # Whoever can't be known sees the message without what belongs to a member.
        visitor = None
    return render(request, template, visitor=visitor, status=status, message=message, hint=hint)


class _SafeHeaders:
    """Adds the headers that keep a browser from doing anything else with our pages."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await self._app(scope, receive, with_headers)
