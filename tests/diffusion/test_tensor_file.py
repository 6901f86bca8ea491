"""safetensors files written by us: the stock reader reads them, the bytes never vary."""

from __future__ import annotations

import hashlib
import struct
import subprocess
import sys

import pytest
import torch
from mos_diffusion.tensor_file import (
    Spec,
    open_tensors,
    read_metadata,
    write_all,
    write_tensors,
)
from mos_protocol.errors import InvalidRequest
from safetensors.torch import load_file, save_file

TENSORS = {
    "b.half": torch.arange(6).reshape(2, 3).half(),
    "a.brain": torch.arange(3).bfloat16(),
    "z.single": torch.randn(3, 4, generator=torch.Generator().manual_seed(0)),
    "m.count": torch.tensor(7),
    "c.double": torch.arange(2).double(),
}


def test_the_stock_reader_reads_back_what_was_written(tmp_path):
    write_all(tmp_path / "a.safetensors", TENSORS, {"format": "x", "base": "y"})

    found = load_file(tmp_path / "a.safetensors")

    assert found.keys() == TENSORS.keys()
    assert all(torch.equal(found[name], value) for name, value in TENSORS.items())
    assert read_metadata(tmp_path / "a.safetensors") == {"format": "x", "base": "y"}


def test_the_bytes_are_those_of_the_stock_writer(tmp_path):
    write_all(tmp_path / "ours.safetensors", TENSORS, {"format": "pt"})
    save_file(TENSORS, tmp_path / "theirs.safetensors", metadata={"format": "pt"})

    ours, theirs = (
        (tmp_path / name).read_bytes() for name in ("ours.safetensors", "theirs.safetensors")
    )
    assert ours == theirs


def test_several_files_are_read_as_one(tmp_path):
    write_all(tmp_path / "1.safetensors", {"a": torch.ones(2)}, {})
    write_all(tmp_path / "2.safetensors", {"b": torch.zeros(3, 1)}, {})

    with open_tensors(tmp_path / "1.safetensors", tmp_path / "2.safetensors") as stored:
        assert list(stored) == ["a", "b"]
        assert stored.spec("b") == Spec(torch.float32, (3, 1))
        assert torch.equal(stored["a"], torch.ones(2))


def test_a_tensor_that_is_not_what_was_announced_is_an_error(tmp_path):
    specs = {"a": Spec(torch.float32, (2,))}
    with pytest.raises(ValueError, match="a is"):
        write_tensors(tmp_path / "a.safetensors", specs, lambda name: torch.ones(3), {})


def test_a_file_that_is_no_safetensors_file_is_refused(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"nonsense")
    with (
        pytest.raises(InvalidRequest, match="can't be read"),
        open_tensors(tmp_path / "a.safetensors"),
    ):
        pass


def test_the_hash_of_the_data_can_be_told_in_the_header(tmp_path):
    path = tmp_path / "a.safetensors"
    specs = {name: Spec(value.dtype, tuple(value.shape)) for name, value in TENSORS.items()}

    write_tensors(path, specs, TENSORS.__getitem__, {"format": "x"}, hash_key="hash")

    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    expected = "0x" + hashlib.sha256(raw[8 + length :]).hexdigest()
    assert read_metadata(path) == {"format": "x", "hash": expected}
    assert load_file(path).keys() == TENSORS.keys()


def test_reading_takes_no_more_memory_than_a_tensor(tmp_path):
    tensors = {f"t{number}": torch.full((1 << 22,), float(number)) for number in range(16)}
    write_all(tmp_path / "a.safetensors", tensors, {})
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from mos_diffusion.tensor_file import open_tensors\n"
        "used = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10\n"
        "before = used()\n"
        "with open_tensors(Path(sys.argv[1])) as stored:\n"
        "    found = [float(stored[name][-1]) for name in stored]\n"
        "print(sum(found), used() - before)\n"
    )

    command = [sys.executable, "-c", program, tmp_path / "a.safetensors"]
    total, megabytes = subprocess.run(
        command, capture_output=True, text=True, check=True
    ).stdout.split()

    assert float(total) == sum(range(16))
    assert int(megabytes) < 3 * 16


def test_a_file_that_is_cut_short_while_it_is_read_is_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    write_all(path, {"a": torch.ones(1000)}, {})

    with open_tensors(path) as stored:
        path.write_bytes(path.read_bytes()[:-8])
        with pytest.raises(InvalidRequest, match="cut short"):
            stored["a"]
