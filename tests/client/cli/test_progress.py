"""Progress: a bar in a terminal, few plain lines elsewhere."""

from __future__ import annotations

import io

import pytest
from mos_client.cli.progress import ProgressLine
from mos_client.session import TransferProgress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_off_a_terminal_only_the_first_and_the_last_of_quick_updates_are_told():
    stream = io.StringIO()
    with ProgressLine("tuning", stream) as line:
        for step in range(100):
            line.update(step + 1, 100, f"step {step + 1}")
    assert stream.getvalue().splitlines() == ["tuning:   1 % step 1", "tuning: 100 % step 100"]


def test_a_message_stays_on_a_line_of_its_own():
    stream = io.StringIO()
    with ProgressLine("tuning", stream) as line:
        line.say("4 pictures")
    assert stream.getvalue() == "4 pictures\n"


def test_a_message_does_not_overtake_the_progress_before_it():
    stream = io.StringIO()
    with ProgressLine("tuning", stream) as line:
        line.update(1, 2)
        line.update(2, 2)
        line.say("recording")
    assert stream.getvalue().splitlines() == ["tuning:  50 %", "tuning: 100 %", "recording"]


def test_in_a_terminal_there_is_a_bar_that_ends_full():
    stream = Terminal()
    with ProgressLine("fetching", stream) as line:
        line.transfer(TransferProgress(10, 10, "a.bin"))
    assert "fetching" in stream.getvalue()
    assert "100%" in stream.getvalue()


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_what_others_named_cannot_steer_the_terminal(stream):
    with ProgressLine("fetching", stream) as line:
        line.transfer(TransferProgress(1, 2, "\x07[bold]evil"))
        line.say("\x07[/bold]")
    assert "\x07" not in stream.getvalue()
    assert "[bold]evil" in stream.getvalue()
