"""The center's reader without torch gives what the engine's decoder gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mos_diffusion.moments import read_moments, write_block
from mos_protocol.moment_reading import read_moment
from mos_protocol.moments import MOMENTS_FORMAT
from mos_protocol.tensors import read_header


@pytest.mark.parametrize("tokens", [4, 200], ids=["columns alone", "columns and a rest"])
def test_both_readers_agree(tmp_path: Path, tokens: int) -> None:
    rows = torch.randn(tokens, 20, generator=torch.Generator().manual_seed(0))
    rows *= torch.logspace(0, -2, 20)
    write_block({"a.in": (rows.T @ rows / tokens).double()}, tmp_path / "m.safetensors")

    engine = read_moments(tmp_path / "m.safetensors")["a.in"].numpy()
    plain = read_moment(
        tmp_path / "m.safetensors",
        read_header(tmp_path / "m.safetensors", "m", MOMENTS_FORMAT),
        "a.in",
    )

    np.testing.assert_allclose(plain, engine, atol=1e-12 * np.abs(engine).max())
