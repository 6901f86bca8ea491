"""The state file holds everything, belongs to one run, and is never half written."""

from __future__ import annotations

import pytest
import torch
from mos_client.tuning.state import (
    STATE_FILE,
    TuningState,
    fingerprint,
    forget_state,
    load_state,
    optimizer_tensors,
    restore_optimizer,
    save_state,
)
from mos_protocol.errors import InvalidRequest


def make_state() -> TuningState:
    return TuningState(
        {"unet.0": torch.randn(3, 2)}, {"unet.0.exp_avg": torch.randn(3, 2)}, [0.1, 0.30000001], 2
    )


def test_a_state_comes_back_exactly(tmp_path):
    state = make_state()

    save_state(tmp_path, state, fingerprint="f")
    found = load_state(tmp_path, fingerprint="f")

    assert found is not None
    assert torch.equal(found.parameters["unet.0"], state.parameters["unet.0"])
    assert torch.equal(found.optimizer["unet.0.exp_avg"], state.optimizer["unet.0.exp_avg"])
    assert (found.losses, found.frozen_at) == ([0.1, 0.30000001], 2)


def test_a_folder_without_a_state_has_none(tmp_path):
    assert load_state(tmp_path / "new", fingerprint="f") is None


def test_a_write_that_was_cut_short_leaves_the_old_state(tmp_path):
    save_state(tmp_path, make_state(), fingerprint="f")
    (tmp_path / f"{STATE_FILE}.tmp").write_bytes(b"\x10\0\0")

    assert load_state(tmp_path, fingerprint="f") is not None


def test_the_state_of_another_run_is_refused_with_what_to_do(tmp_path):
    save_state(tmp_path, make_state(), fingerprint="one")

    with pytest.raises(InvalidRequest, match=r"other settings.*--restart"):
        load_state(tmp_path, fingerprint="two")


def test_a_damaged_state_is_refused_with_what_to_do(tmp_path):
    (tmp_path / STATE_FILE).write_bytes(b"garbage that is no safetensors file")

    with pytest.raises(InvalidRequest, match=r"can't be read.*--restart"):
        load_state(tmp_path, fingerprint="f")


def test_forgetting_a_state_starts_over(tmp_path):
    save_state(tmp_path, make_state(), fingerprint="one")

    forget_state(tmp_path)

    assert load_state(tmp_path, fingerprint="two") is None


def test_the_fingerprint_depends_on_settings_and_inputs_but_not_on_their_order():
    first = fingerprint({"rank": 4, "seed": 1}, data="d", base="b")

    assert fingerprint({"seed": 1, "rank": 4}, base="b", data="d") == first
    assert fingerprint({"rank": 4, "seed": 2}, data="d", base="b") != first
    assert fingerprint({"rank": 4, "seed": 1}, data="e", base="b") != first


def test_an_optimizer_that_was_restored_takes_the_same_next_step():
    def steps(parameter: torch.nn.Parameter, optimizer: torch.optim.Optimizer, count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            (parameter**3).sum().backward()
            optimizer.step()

    def make() -> tuple[torch.nn.Parameter, torch.optim.AdamW]:
        parameter = torch.nn.Parameter(torch.linspace(-1, 1, 5))
        unused = torch.nn.Parameter(torch.zeros(2))
        return parameter, torch.optim.AdamW([{"params": [unused]}, {"params": [parameter]}], lr=0.1)

    names = ["unused", "used"]
    parameter, optimizer = make()
    steps(parameter, optimizer, 3)
    saved, moments = parameter.detach().clone(), optimizer_tensors(optimizer, names)
    moments = {name: tensor.clone() for name, tensor in moments.items()}
    steps(parameter, optimizer, 2)

    resumed, fresh = make()
    resumed.data.copy_(saved)
    restore_optimizer(fresh, names, moments)
    steps(resumed, fresh, 2)

    assert torch.equal(resumed, parameter)
    assert set(moments) == {"used.exp_avg", "used.exp_avg_sq", "used.step"}
