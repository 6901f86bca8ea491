"""The dashboard's application: its own errors, headers and login, mounted beside the REST API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.resources import files

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from mos_protocol.errors import EDGES, MosError, Unauthenticated
from starlette.exceptions import HTTPException

from mos_center.dashboard import concepts, fusions, login, models
from mos_center.dashboard.pages import PATH, redirect, render
from mos_center.service.center import Center

__all__ = ["PATH", "create_dashboard"]

# Nothing is loaded from elsewhere, no script runs, no other site frames a page or gets a form.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    # Without any referrer, browsers send `Origin: null` with our own forms, which we refuse.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def create_dashboard(center: Center) -> FastAPI:
    """Build the application; mount it at `PATH`."""
    app = FastAPI(openapi_url=None)
    app.state.center = center
    for noun in (login, concepts, fusions, models):
        app.include_router(noun.router)
    app.add_api_route("/", lambda: redirect("concepts"), response_class=RedirectResponse)
    app.add_api_route("/style.css", _stylesheet, response_class=Response)
    _install_errors(app)
    app.middleware("http")(_with_headers)
    return app


def _stylesheet() -> Response:
    content = files("mos_center.dashboard").joinpath("static/style.css").read_bytes()
    return Response(content, media_type="text/css", headers={"Cache-Control": "max-age=300"})


def _install_errors(app: FastAPI) -> None:
    @app.exception_handler(Unauthenticated)
    def on_stranger(request: Request, error: Unauthenticated) -> Response:
        return redirect("login")

    @app.exception_handler(MosError)
    def on_error(request: Request, error: MosError) -> HTMLResponse:
        status = EDGES.get(error.code, EDGES[MosError.code]).http
        return render(request, "error.html", status=status, message=error.message, hint=error.hint)

    @app.exception_handler(HTTPException)
    def on_http(request: Request, error: HTTPException) -> HTMLResponse:
        return render(
            request,
            "error.html",
            status=error.status_code,
            message=f"{error.detail}.",
            hint="Go back to the concepts.",
        )


async def _with_headers(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    response = await call_next(request)
    response.headers.update(_HEADERS)
    return response
