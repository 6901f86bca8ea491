"""Moments read without torch are those that were written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mos_protocol.moment_reading import read_moment
from mos_protocol.moments import MOMENTS_FORMAT
from mos_protocol.tensors import read_header
from safetensors.numpy import save_file
from tiny_package import coded_moment


def written(path: Path, tensors: dict[str, np.ndarray]) -> Path:
    save_file(tensors, path, metadata={"format": MOMENTS_FORMAT})
    return path


def test_a_coded_moment_is_decoded(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(40, 7))
    matrix = rows.T @ rows / 40
    path = written(tmp_path / "m.safetensors", coded_moment("a.in", matrix))

    found = read_moment(path, read_header(path, "m"), "a.in")

    np.testing.assert_allclose(found, matrix, atol=1e-3 * matrix.max())
    assert (found == found.T).all()


def test_activations_are_reduced_in_pieces(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(5000, 3)).astype(np.float16)
    path = written(tmp_path / "m.safetensors", {"a.in.activations": rows})

    found = read_moment(path, read_header(path, "m"), "a.in")

    exact = rows.astype(np.float64)
    np.testing.assert_allclose(found, exact.T @ exact / 5000, rtol=1e-5)


def test_an_input_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    path = written(tmp_path / "m.safetensors", coded_moment("a.in", np.eye(3)))

    with pytest.raises(KeyError):
        read_moment(path, read_header(path, "m"), "b.in")
