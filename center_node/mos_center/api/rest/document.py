"""The OpenAPI document, made to say what really comes back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from mos_center.api.rest.idempotent import CHANGES, HEADER, KEY_PATTERN, QUESTIONS
from mos_center.api.rest.problems import MEDIA_TYPE


def openapi_document(app: FastAPI) -> dict[str, Any]:
    """The app's OpenAPI document; made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        for path, method, operation in _operations(document):
            _tell_of_the_edge(path, method, operation)
            for status, response in operation["responses"].items():
                if int(status) >= 400 and (content := response.get("content")):
                    response["content"] = {MEDIA_TYPE: next(iter(content.values()))}
        # Never sent: `install_handlers` answers validation errors as problems.
        for unused in ("HTTPValidationError", "ValidationError"):
            document["components"]["schemas"].pop(unused, None)
        app.openapi_schema = document
    return app.openapi_schema


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, item in methods.items():
            if isinstance(item, dict):
                yield path, method, item


def _tell_of_the_edge(path: str, method: str, operation: dict[str, Any]) -> None:
    """Add what happens before a route is reached: limits, and keys of changes."""
    refusals = []
    if "security" in operation:
        refusals += [(429, "Too many calls; `Retry-After` says when to go on")]
    if method.upper() in CHANGES:
        refusals += [(413, "The body is larger than any request is")]
    if method.upper() in CHANGES and path not in QUESTIONS:
        refusals += [(409, "It contradicts what is there, or the key was used for another request")]
        operation.setdefault("parameters", []).append(_KEY)
    for status, description in refusals:
        content = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
        told = {"description": description, "content": content}
        operation["responses"].setdefault(str(status), told)


_KEY = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "Makes the change once: the same request with the same key is answered the same",
    "schema": {"type": "string", "pattern": f"^{KEY_PATTERN}$"},
}
