"""The REST application."""

from __future__ import annotations

import asyncio
from importlib.metadata import version

from fastapi import FastAPI
from starlette.middleware import Middleware

from mos_center.api.rest import about, bases, concepts, fusions, health, models, submissions
from mos_center.api.rest.about import CenterInfo
from mos_center.api.rest.document import openapi_document
from mos_center.api.rest.gate import BodyLimit, TokenGate
from mos_center.api.rest.problems import install_handlers
from mos_center.service.center import Center

DISTRIBUTION = "mos-federation"


def create_app(
    center: Center, info: CenterInfo, stopping: asyncio.Event, *, own_login: str | None = None
) -> FastAPI:
    """Build the application; event streams end when `stopping` is set.

    What is mounted at `own_login` checks its callers itself.
    """
    app = FastAPI(
        title="Mix-of-Show Federation center",
        version=version(DISTRIBUTION),
        description="Concepts, fusions and published models of one center.",
        # Their pages load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        middleware=[
            Middleware(BodyLimit),
            Middleware(
                TokenGate,
                authenticate=center.tokens.authenticate,
                is_open=center.tokens.is_open,
                own_login=own_login,
            ),
        ],
    )
    app.state.center = center
    app.state.info = info
    app.state.stopping = stopping
    install_handlers(app)
    for noun in (health, about, bases, concepts, submissions, fusions, models):
        app.include_router(noun.router)
    app.openapi = lambda: openapi_document(app)  # type: ignore[method-assign]
    return app
