from __future__ import annotations

from mos_center.dashboard.concepts.curves import HEIGHT, WIDTH, Curve


def test_a_curve_fills_its_box_from_the_highest_value_to_the_lowest() -> None:
    curve = Curve.of([4.0, 2.0, 3.0])

    assert curve is not None
    assert curve.points == f"0.0,0.0 {WIDTH / 2:.1f},{HEIGHT:.1f} {WIDTH:.1f},{HEIGHT / 2:.1f}"
    assert (curve.low, curve.high) == (2.0, 4.0)


def test_a_curve_of_equal_values_is_flat_and_one_point_is_none() -> None:
    flat = Curve.of([1.0, 1.0])

    assert flat is not None
    assert flat.points == f"0.0,0.0 {WIDTH:.1f},0.0"
    assert Curve.of([1.0]) is None
