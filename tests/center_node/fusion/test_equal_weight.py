"""A concept's weight in a fusion does not depend on how large it says its inputs are."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fused_models import published_deltas, weighted
from mos_center.fusion.equal_weight import equalised
from mos_center.fusion.local import fuse_local
from mos_center.fusion.settings import FusionSettings
from mos_diffusion.moments import read_moments, write_block
from tiny_package import relist


def with_moments_times(package: Path, factor: float, out: Path) -> Path:
    """The package with every moment multiplied."""
    shutil.copytree(package, out)
    for path in (out / "moments").iterdir():
        scaled = {name: factor * moment for name, moment in read_moments(path).items()}
        write_block(scaled, path)
    relist(out)
    return out


def test_a_moment_is_scaled_to_a_mean_diagonal_of_one() -> None:
    rows = torch.randn(20, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    moment = rows.T @ rows

    assert float(equalised(moment).trace()) == pytest.approx(6)
    torch.testing.assert_close(equalised(1e4 * moment), equalised(moment))
    assert not equalised(torch.zeros(6, 6)).any()


@pytest.mark.parametrize("sums", [False, True], ids=["afresh", "with sums"])
def test_moments_scaled_by_ten_thousand_change_nothing(
    tiny: SimpleNamespace, tmp_path: Path, sums: bool
) -> None:
    first, second = tiny.packages[:2]
    loud = with_moments_times(second, 1e4, tmp_path / "loud")
    for name, packages in {"plain": [first, second], "loud": [first, loud]}.items():
        fuse_local(
            tiny.base,
            weighted(packages, (1.0, 1.0)),
            FusionSettings(),
            tmp_path / name / "model",
            sums=tmp_path / "sums" if sums else None,
            withdrawn=[second] if name == "loud" and sums else [],
        )

    plain = published_deltas(tmp_path / "plain" / "model", tiny.layers)
    drowned = published_deltas(tmp_path / "loud" / "model", tiny.layers)

    for name, delta in plain.items():
        np.testing.assert_allclose(drowned[name], delta, atol=0.02 * np.abs(delta).max())
