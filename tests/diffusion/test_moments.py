from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from mos_diffusion.base_model import layer_map
from mos_diffusion.moments import (
    open_moments,
    read_moments,
    record_moments,
    reduce_file,
    write_activations,
    write_moments,
)
from mos_diffusion.prompts import layerwise
from mos_protocol.errors import InvalidPackage
from mos_protocol.layer_map import Block, LayerInput
from mos_protocol.moments import MOMENTS_FORMAT, check_moments, is_raw, moments_size_limit
from safetensors.torch import load_file, save_file

WIDTHS = {"mid.in": 24, "mid.out": 40}
BLOCK = Block(
    name="mid",
    inputs=tuple(LayerInput(name=name, width=width) for name, width in WIDTHS.items()),
    layers=(),
)


def tokens(seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: (torch.randn(300, width, generator=generator) + 1).half()
        for name, width in WIDTHS.items()
    }


def moments(seed: int = 0) -> dict[str, torch.Tensor]:
    return {name: x.double().T @ x.double() / len(x) for name, x in tokens(seed).items()}


@pytest.fixture
def path(tmp_path) -> Path:
    (written,) = write_moments({"mid": moments()}, tmp_path)
    return written


def assert_close_to(found: dict[str, torch.Tensor], exact: dict[str, torch.Tensor]) -> None:
    assert found.keys() == exact.keys()
    for name, matrix in found.items():
        assert matrix.dtype == torch.float64
        assert float((matrix - exact[name]).norm()) < 0.03 * float(exact[name].norm())


def test_files_survive_and_pass_the_checks_of_the_protocol(path):
    check_moments(path, BLOCK, path.name)
    assert_close_to(read_moments(path), moments())


def test_recorded_moments_of_every_block_survive(base, tmp_path):
    layers, prompts = layer_map(base), layerwise(base)
    with record_moments(base, layers) as recorder, torch.no_grad():
        base.unet(torch.randn(2, 4, 8, 8), 500, prompts.encode(["a dog", "a cat"]))
    exact = recorder.moments()
    paths = write_moments(exact, tmp_path)
    assert len(paths) == len(layers.blocks) == 8
    for block, path in zip(layers.blocks, paths, strict=True):
        check_moments(path, block, path.name)
        assert_close_to(read_moments(path), exact[block.name])


def test_a_finer_accuracy_makes_a_larger_and_closer_file(tmp_path, path):
    (fine,) = write_moments({"mid": moments()}, tmp_path / "fine", accuracy=1e-6)
    assert fine.stat().st_size > path.stat().st_size
    for name, exact in moments().items():
        errors = [float((read_moments(file)[name] - exact).norm()) for file in (fine, path)]
        assert errors[0] < errors[1] / 3


def test_one_input_is_read_at_a_time(path):
    with open_moments(path) as stored:
        assert stored.names() == ["mid.in", "mid.out"]
        assert "mid.in" in stored
        assert "mid.other" not in stored
        assert stored.read("mid.out").shape == (40, 40)
        with pytest.raises(KeyError):
            stored.read("mid.other")


def test_inputs_can_be_read_from_several_threads(path):
    with open_moments(path) as stored, ThreadPoolExecutor(4) as pool:
        found = list(pool.map(stored.read, ["mid.in", "mid.out"] * 20))
    expected = read_moments(path)
    for index, matrix in enumerate(found):
        assert torch.equal(matrix, expected[["mid.in", "mid.out"][index % 2]])


def test_raw_activations_are_reduced_when_they_are_read(tmp_path):
    (path,) = write_activations({"mid": tokens()}, tmp_path)
    check_moments(path, BLOCK, path.name, raw=True)
    assert path.stat().st_size < moments_size_limit(BLOCK, raw=True)
    found = read_moments(path)
    for name, exact in moments().items():
        torch.testing.assert_close(found[name], exact, rtol=1e-5, atol=1e-6)


def test_more_activations_than_are_read_at_once_are_reduced(tmp_path):
    rows = torch.randn(10_000, 3, generator=torch.Generator().manual_seed(0)).half()
    (path,) = write_activations({"mid": {"mid.in": rows}}, tmp_path)
    exact = rows.double().T @ rows.double() / len(rows)
    torch.testing.assert_close(read_moments(path)["mid.in"], exact, rtol=1e-5, atol=1e-6)


def test_a_reduced_file_is_small_and_holds_the_moments(tmp_path):
    (raw,) = write_activations({"mid": tokens()}, tmp_path)
    reduced = reduce_file(raw, tmp_path / "reduced")
    check_moments(reduced, BLOCK, "reduced")
    assert is_raw(raw, "raw")
    assert not is_raw(reduced, "reduced")
    assert reduced.stat().st_size < raw.stat().st_size / 5
    assert_close_to(read_moments(reduced), moments())


def test_reducing_again_gives_the_same_bytes(tmp_path):
    (raw,) = write_activations({"mid": tokens()}, tmp_path)
    files = [reduce_file(raw, tmp_path / name).read_bytes() for name in "ab"]
    assert files[0] == files[1]


def test_a_matrix_that_is_no_moment_is_not_written(tmp_path):
    with pytest.raises(ValueError, match=r"mid\.in: a moment has values that are not finite"):
        write_moments({"mid": {"mid.in": torch.full((3, 3), torch.nan)}}, tmp_path)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_huge_moment_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="beyond 1e"):
        write_moments({"mid": {"mid.in": 1e9 * torch.eye(3)}}, tmp_path)


def test_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "a").write_bytes(b"no tensors")
    with pytest.raises(InvalidPackage, match="can't be read"):
        read_moments(tmp_path / "a")
    save_file({"a": torch.zeros(3)}, tmp_path / "b", metadata={"format": "mos-moments/1"})
    with pytest.raises(InvalidPackage, match="expected 'mos-moments/2'"):
        read_moments(tmp_path / "b")
    with pytest.raises(InvalidPackage, match="can't be read"):
        reduce_file(tmp_path / "none", tmp_path / "c")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"mid.in.scale": None}, "no complete moment"),
        ({"mid.in.more": torch.zeros(3)}, "no complete moment"),
        ({"mid.in.scale": torch.zeros(23)}, "contradict"),
        ({"mid.in.scale": torch.zeros(24, dtype=torch.float64)}, "wrong type"),
        ({"mid.in.residual": torch.zeros(24)}, "wrong type"),
        ({"mid.in.factor_scale": torch.zeros(13)}, "contradict"),
        ({"mid.in.factor_scale": torch.zeros(5)}, "fewer|more"),
        ({"mid.in.residual": torch.tensor([1, 255], dtype=torch.uint8)}, "damaged|early"),
        ({"mid.in.residual": torch.zeros(0, dtype=torch.uint8)}, "bytes per integer"),
        ({"mid.in.diagonal": torch.full((24,), torch.nan)}, "beyond"),
        ({"mid.in.diagonal": torch.full((24,), 1e9)}, "beyond"),
        ({"mid.in.scale": torch.full((24,), 1e30)}, "beyond"),
    ],
)
def test_a_damaged_file_is_told_and_never_crashes(tmp_path, path, changes, reason):
    """What the protocol's checks would refuse is no harm to a reader that did not run them."""
    tensors = load_file(path) | changes
    kept = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    save_file(kept, tmp_path / "bad", metadata={"format": MOMENTS_FORMAT})
    with pytest.raises(InvalidPackage, match=reason):
        read_moments(tmp_path / "bad")


@pytest.mark.parametrize("rows", [torch.zeros(0, 5), torch.zeros(5), torch.full((3, 5), torch.nan)])
def test_damaged_activations_are_told(tmp_path, rows):
    file = {"mid.in.activations": rows.half()}
    save_file(file, tmp_path / "bad", metadata={"format": MOMENTS_FORMAT})
    with pytest.raises(InvalidPackage, match=r"shape|beyond"):
        read_moments(tmp_path / "bad")
