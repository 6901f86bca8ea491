"""Progress knows the loss, the speed and the time left."""

from __future__ import annotations

import pytest
from mos_client.tuning.progress import LossMeter, Phase, thin_curve


def test_a_constant_loss_is_smoothed_to_itself():
    meter = LossMeter(10)
    for _ in range(3):
        meter.add(0.5)

    report = meter.report()

    assert (report.phase, report.step, report.steps) == (Phase.TUNING, 3, 10)
    assert report.loss == pytest.approx(0.5)
    assert report.steps_per_second is not None
    assert report.steps_per_second > 0
    assert report.eta_seconds == pytest.approx(7 / report.steps_per_second)


def test_a_run_that_resumed_counts_only_its_own_steps_as_speed():
    report = LossMeter(10, [0.1] * 9).report()

    assert (report.step, report.steps_per_second, report.eta_seconds) == (9, None, None)
    assert report.loss == pytest.approx(0.1)


def test_the_smoothed_loss_is_the_same_after_resuming():
    whole, resumed = LossMeter(6), LossMeter(6, [3.0, 2.0, 1.0])
    for loss in (3.0, 2.0, 1.0, 0.5):
        whole.add(loss)
    resumed.add(0.5)

    assert whole.smoothed == resumed.smoothed


def test_a_long_curve_is_thinned_to_means_of_equal_stretches():
    assert thin_curve([1.0, 3.0, 5.0, 7.0], points=2) == (2.0, 6.0)
    assert len(thin_curve([0.1] * 5000)) == 256
    assert thin_curve([0.5, 0.25]) == (0.5, 0.25)
    assert thin_curve([]) == ()
