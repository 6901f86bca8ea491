"""Paths of the example under test."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "tinyworld"
if str(EXAMPLE) not in sys.path:
    sys.path.insert(0, str(EXAMPLE))


@pytest.fixture(scope="session")
def model_folder() -> Path:
    """The committed base model."""
    return EXAMPLE / "model"


@pytest.fixture(scope="session")
def clip_folder() -> Path:
    """The committed evaluation model."""
    return EXAMPLE / "clip"
