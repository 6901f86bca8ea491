from __future__ import annotations

import pytest
from mos_center.domain.build import build_digest
from mos_center.domain.models import Solver
from mos_protocol.layer_map import Part
from mos_protocol.names import Digest

ONE, TWO = Digest("1" * 64), Digest("2" * 64)
REQUEST: dict = {
    "base": Digest("b" * 64),
    "concepts": [(ONE, 1.0), (TWO, 0.5)],
    "solver": Solver.CLOSED_FORM,
    "prior_weight": 0.1,
    "ridge": {Part.SPATIAL: 1e-3},
}


def test_the_same_request_is_the_same_build() -> None:
    again = {**REQUEST, "concepts": [(ONE, 1), (TWO, 0.5)]}

    assert build_digest(**REQUEST) == build_digest(**again)


@pytest.mark.parametrize(
    "change",
    [
        {"base": Digest("c" * 64)},
        {"concepts": [(TWO, 0.5), (ONE, 1.0)]},
        {"concepts": [(ONE, 1.0), (TWO, 0.6)]},
        {"solver": Solver.LBFGS},
        {"prior_weight": 0.2},
        {"ridge": None},
        {"ridge": {Part.CROSS_KV: 1e-3}},
    ],
)
def test_whatever_changes_the_result_changes_the_build(change: dict) -> None:
    assert build_digest(**REQUEST) != build_digest(**{**REQUEST, **change})
