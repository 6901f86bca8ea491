"""Pieces of work side by side: order, errors, threads and the clock."""

from __future__ import annotations

import pytest
import torch
from mos_center.fusion.parallel import Stopwatch, each


def test_results_come_in_the_order_of_the_items():
    assert list(each(lambda item: item * item, range(20), 4)) == [k * k for k in range(20)]


def test_every_piece_has_one_thread_and_the_caller_keeps_its_own():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert set(each(lambda _: torch.get_num_threads(), range(8), 2)) == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_first_error_ends_the_work():
    done = []

    def work(item: int) -> None:
        if item == 2:
            raise ValueError("two")
        done.append(item)

    with pytest.raises(ValueError, match="two"):
        list(each(work, range(1000), 1))

    assert len(done) < 1000


def test_seconds_add_up_over_threads():
    watch = Stopwatch()

    def work(_: int) -> None:
        with watch.phase("wait"):
            torch.linalg.eigh(torch.eye(64))

    list(each(work, range(4), 2))

    assert watch.seconds["wait"] > 0
    assert set(watch.seconds) == {"wait"}
