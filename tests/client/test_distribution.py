"""What installing the client brings along."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, requires

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

SERVERS = {"fastapi", "starlette", "uvicorn", "sqlalchemy", "alembic", "dbos", "psycopg", "minio"}


def installed_with(name: str, extras: frozenset[str]) -> set[str]:
    """Every distribution that `name[extras]` calls for here, transitively."""
    found: set[tuple[str, frozenset[str]]] = set()
    waiting = [(canonicalize_name(name), extras)]
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in found:
            continue
        found.add((name, extras))
        try:
            requirements = map(Requirement, requires(name) or ())
        except PackageNotFoundError:
            continue
        waiting += [
            (canonicalize_name(requirement.name), frozenset(requirement.extras))
            for requirement in requirements
            if is_called_for(requirement, extras)
        ]
    return {name for name, _ in found}


def is_called_for(requirement: Requirement, extras: frozenset[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in extras | {""})


def test_the_client_extra_brings_what_the_client_needs():
    assert {"httpx", "typer", "rich", "grpcio", "torch", "diffusers"} <= installed_with(
        "mos-federation", frozenset({"client"})
    )


def test_the_client_extra_installs_no_server_framework():
    assert not SERVERS & installed_with("mos-federation", frozenset({"client"}))


def test_the_walk_would_find_them_in_the_center_extra():
    assert installed_with("mos-federation", frozenset({"center"})) >= SERVERS
