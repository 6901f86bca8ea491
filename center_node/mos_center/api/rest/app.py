"""The REST application."""

from __future__ import annotations

import asyncio
from importlib.metadata import version

from fastapi import FastAPI
from starlette.middleware import Middleware

from mos_center.api.hub import routes as hub
from mos_center.api.hub.errors import HubRefusals
from mos_center.api.rate_limits import RateLimits
from mos_center.api.rest import (
    about,
    aliases,
    audit,
    audits,
    bases,
    comparisons,
    compositions,
    concepts,
    errors,
    evaluations,
    fusion_checks,
    fusion_log,
    fusions,
    health,
    invitations,
    join,
    lineage,
    marks,
    me,
    members,
    models,
    sharing,
    submissions,
    tokens,
    webhooks,
    withdrawal,
    workers,
)
from mos_center.api.rest.about import CenterInfo
from mos_center.api.rest.document import openapi_document
from mos_center.api.rest.gate import BodyLimit, RightsGate, RightsTable
from mos_center.api.rest.idempotent import IdempotentChanges
from mos_center.api.rest.problems import install_handlers
from mos_center.api.rest.rate_limit import CallLimit, FailureLimit
from mos_center.api.rights import ROUTE_RIGHTS
from mos_center.service.center import Center

DISTRIBUTION = "mos-federation"
# In the order of the document; the last ones take whatever path is left.
NOUNS = (
    health,
    about,
    join,
    me,
    members,
    invitations,
    tokens,
    bases,
    concepts,
    audits,
    sharing,
    submissions,
    fusions,
    fusion_checks,
    fusion_log,
    aliases,
    evaluations,
    models,
    comparisons,
    compositions,
    withdrawal,
    lineage,
    marks,
    audit,
    workers,
    webhooks,
    errors,
    hub,
)


def create_app(
    center: Center,
    info: CenterInfo,
    stopping: asyncio.Event,
    *,
    own_login: str | None = None,
    limits: RateLimits | None = None,
) -> FastAPI:
    """Build the application; event streams end when `stopping` is set.

    What is mounted at `own_login` checks its callers itself.
    """
    limits = limits or RateLimits(0)
    app = FastAPI(
        title="Mix-of-Show Federation center",
        version=version(DISTRIBUTION),
        description="Concepts, fusions and published models of one center.",
        # Their pages load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        middleware=[
            Middleware(HubRefusals),
            Middleware(BodyLimit),
            Middleware(FailureLimit, limits=limits),
            Middleware(
                RightsGate,
                rights=RightsTable(ROUTE_RIGHTS),
                authenticate=center.tokens.authenticate,
                is_open=center.tokens.is_open,
                own_login=own_login,
            ),
            Middleware(CallLimit, limits=limits),
            Middleware(IdempotentChanges, answers=center.answers),
        ],
    )
    app.state.center = center
    app.state.info = info
    app.state.stopping = stopping
    install_handlers(app)
    for noun in NOUNS:
        app.include_router(noun.router)
    app.openapi = lambda: openapi_document(app)  # type: ignore[method-assign]
    return app
