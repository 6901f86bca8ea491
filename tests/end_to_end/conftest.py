"""A center that knows the tiny base."""

from __future__ import annotations

from pathlib import Path

import pytest
from edge import Edge
from programs import run


@pytest.fixture
def center(edge: Edge, tmp_path: Path) -> Path:
    """The data folder of a center with the base registered."""
    data = tmp_path / "center"
    run("mos-center", "base", "add", "tiny", edge.base, "--data", data, "--prior-samples", "4")
    return data
