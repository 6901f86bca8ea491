from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from mos_center.dashboard.formatting import count, heat, link, percent, plural, size, span, when

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "told"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_440_000, "1.4 MB"), (2.5e11, "250 GB")],
)
def test_sizes_are_written_as_people_read_them(value: float, told: str) -> None:
    assert size(value) == told


@pytest.mark.parametrize(
    ("seconds", "told"), [(-3, "0 s"), (59, "59 s"), (60, "1 min"), (7200, "2 h"), (1e7, "115 d")]
)
def test_spans_have_one_unit(seconds: float, told: str) -> None:
    assert span(seconds) == told


@pytest.mark.parametrize(
    ("ago", "told"),
    [
        (timedelta(0), "just now"),
        (timedelta(minutes=5), "5 min ago"),
        (timedelta(hours=-2), "in 2 h"),
        (timedelta(days=90), "2026-01-31"),
    ],
)
def test_moments_are_told_from_now(ago: timedelta, told: str) -> None:
    html = when(NOW - ago, NOW)

    assert f">{told}</time>" in html
    assert f'datetime="{(NOW - ago).isoformat()}"' in html


def test_numbers_shares_and_addresses() -> None:
    assert count(1234567) == "1\u202f234\u202f567"
    assert plural(1, "concept") == "1 concept"
    assert plural(2, "concept") == "2 concepts"
    assert percent(0.834) == "83 %"
    assert [heat(share) for share in (-1, 0.44, 1.0)] == ["heat-0", "heat-4", "heat-10"]
    assert link("/x", q="a b", state="", after=None) == "/x?q=a+b"
    assert link("/x", concept=["a/b@1", "c/d@2"]) == "/x?concept=a%2Fb%401&concept=c%2Fd%402"
