"""A browser without a screen, and something to look at."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from center_steps import submit_folder
from mos_center.domain.models import Submission

sys.path.insert(0, str(Path(__file__).parent))

from dashboard_steps import review_by_hand


@pytest.fixture
async def browser(running: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Keeps cookies and follows redirects, as a browser does."""
    async with httpx.AsyncClient(base_url=running.addresses.rest, follow_redirects=True) as client:
        yield client


@pytest.fixture
def waiting(running: Any, package: Path) -> Submission:
    """A concept that waits for review."""
    return submit_folder(review_by_hand(running), package)
