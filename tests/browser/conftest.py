"""A browser, and a center with real data for it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from edge import Edge
from playwright.sync_api import Browser, Page, sync_playwright

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "center_node")]

from scenes import Scenery, make_scenery
from town import Town, running_town
from visiting import launch, visiting

Visit = Callable[..., AbstractContextManager[Page]]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # No longer than a module: asynchronous tests can't run beside it.
    with sync_playwright() as playwright:
        found = launch(playwright)
        yield found
        found.close()


@pytest.fixture(scope="session")
def town(
    edge: Edge, packages: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Town]:
    with running_town(edge.base, packages, tmp_path_factory.mktemp("town")) as found:
        yield found


@pytest.fixture(scope="session")
def scenery(town: Town) -> Scenery:
    return make_scenery(town)


@pytest.fixture
def visit(browser: Browser, town: Town) -> Visit:
    """`visit("ada")`: the dashboard as a member sees it; without a name, nobody is logged in."""

    def visit(member: str | None = None, **options: Any) -> AbstractContextManager[Page]:
        token = town.tokens[member] if member else None
        return visiting(browser, town.url, token, **options)

    return visit
