"""Refining: inputs recorded again on the fused model, and solved for once more."""

from __future__ import annotations

import numpy as np
import pytest
from fused_models import hashes, published_deltas, read_json, weighted
from mos_center.fusion.local import fuse_local
from mos_center.fusion.settings import FusionSettings
from mos_protocol.errors import InvalidRequest


@pytest.fixture(scope="module")
def refined(tiny, tmp_path_factory):
    """Three concepts, refined once."""
    out = tmp_path_factory.mktemp("refined") / "out"
    packages = weighted(tiny.packages, (1.0, 0.5, 1.0))
    seen = []
    fuse_local(
        tiny.base,
        packages,
        FusionSettings(refine_rounds=1),
        out,
        on_progress=lambda done, total, message: seen.append(message),
    )
    return out, seen


def test_a_round_records_every_concept_and_fuses_every_block_again(tiny, refined):
    _, seen = refined
    blocks = [block.name for block in tiny.layers.all_blocks()]
    again = [message for message in seen if message.startswith("refine 1")]
    assert again == [f"refine 1: record ada/c{k}" for k in range(3)] + [
        f"refine 1: fuse {name}" for name in blocks
    ]


def test_a_round_changes_the_result_but_not_its_kind(tiny, fused, refined):
    before = published_deltas(fused["closed-form"], tiny.layers)
    after = published_deltas(refined[0], tiny.layers)

    changed = [name for name in before if not np.array_equal(before[name], after[name])]
    assert len(changed) > len(before) / 2
    assert all(np.isfinite(delta).all() for delta in after.values())
    assert read_json(refined[0] / "report.json")["settings"]["refine_rounds"] == 1


def test_refining_twice_over_gives_the_same_bytes(tiny, refined, tmp_path):
    packages = weighted(tiny.packages, (1.0, 0.5, 1.0))
    fuse_local(tiny.base, packages, FusionSettings(refine_rounds=1), tmp_path / "out")
    assert hashes(tmp_path / "out") == hashes(refined[0])


def test_a_baseline_has_nothing_to_refine(tiny, fused, tmp_path):
    packages = weighted(tiny.packages, (1.0, 0.5, 1.0))
    settings = FusionSettings("average", refine_rounds=1)
    fuse_local(tiny.base, packages, settings, tmp_path / "out")
    assert hashes(tmp_path / "out") == hashes(fused["average"])


@pytest.mark.parametrize("rounds", [-1, 4, 1.5])
def test_rounds_beyond_the_limit_are_refused(rounds):
    with pytest.raises(InvalidRequest, match="refine_rounds"):
        FusionSettings(refine_rounds=rounds)
