"""Tables, sizes and times for people."""

from __future__ import annotations

import pytest
from mos_client.cli.tables import duration, facts, printable, size, table


def test_columns_are_as_wide_as_their_content():
    text = table(("A", "LONG"), [("wide cell", "x"), ("y", "z")], "none")
    assert text.splitlines() == ["A          LONG", "wide cell  x", "y          z"]


def test_an_empty_table_is_a_sentence():
    assert table(("A",), [], "Nothing yet.") == "Nothing yet."


def test_a_cell_cannot_steer_the_terminal_or_break_its_line():
    assert table(("A",), [("\x1b[31mred\nnext",)], "").splitlines() == ["A", "·[31mred·next"]
    assert printable("plain ä ✓") == "plain ä ✓"


def test_facts_without_a_value_are_left_out():
    assert facts((("one", "1"), ("empty", ""), ("three", "3"))) == "one    1\nthree  3"


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (98_700_000, "98.7 MB"), (4e9, "4.00 GB")],
)
def test_sizes_are_in_decimal_units(count, text):
    assert size(count) == text


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (65, "1:05"), (7390, "2:03:10")])
def test_durations_read_like_a_clock(seconds, text):
    assert duration(seconds) == text
