"""A tiny workload, made once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from workload import Workload, make_workload


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Workload:
    """The smallest workload: a base of Stable Diffusion 1.5's layout, and two packages."""
    return make_workload(tmp_path_factory.mktemp("tiny"), "tiny", 2, jobs=1)
