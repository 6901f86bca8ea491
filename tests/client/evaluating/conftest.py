from __future__ import annotations

import pytest
from evaluation_world import EvaluationWorld, make_world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> EvaluationWorld:
    return make_world(tmp_path_factory.mktemp("world"))
