from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
from mos_center.domain.request_context import request_context
from mos_center.telemetry.logs import JsonLines, TextLines, masked

TOKEN = "mos_" + "Ab3-_" * 8


@pytest.fixture
def lines() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    """A logger whose lines are JSON in a text."""
    written = io.StringIO()
    logger = logging.Logger("mos_center.service.models")
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonLines("worker"))
    logger.addHandler(handler)
    yield logger, written
    handler.close()


def test_an_event_and_its_fields_are_read_from_the_call(lines) -> None:
    log, written = lines

    with request_context("0123456789abcdef"):
        log.info("alias.moved model=%s version=%d ratio=%.2f by=%r", "demo", 3, 0.5, None)

    line = json.loads(written.getvalue())
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "info",
        "event": "alias.moved",
        "fields": {"model": "demo", "version": 3, "ratio": 0.5, "by": None},
        "logger": "mos_center.service.models",
        "role": "worker",
        "request_id": "0123456789abcdef",
    }


@pytest.mark.parametrize(
    ("template", "arguments", "told"),
    [
        ("Started server process [%d]", (7,), "Started server process [7]"),
        ("odd.event a=%s and %s", ("b", "c"), "odd.event a=b and c"),
        ("100 % done", (), "100 % done"),
    ],
)
def test_a_line_of_a_library_keeps_its_text(lines, template, arguments, told) -> None:
    log, written = lines

    log.info(template, *arguments)

    assert json.loads(written.getvalue())["message"] == told


def test_a_failure_comes_with_its_trace_on_the_same_line(lines) -> None:
    log, written = lines
    try:
        raise ValueError(f"what is {TOKEN}?")
    except ValueError:
        log.exception("job.failed id=%s", "f1")

    [line] = written.getvalue().splitlines()
    assert "ValueError" in json.loads(line)["exception"]
    assert TOKEN not in line


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (f"token={TOKEN}", "token=mos_…"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer …"),
        ("postgresql+psycopg://mos:hunter2@db/mos", "postgresql+psycopg://mos:…@db/mos"),
        ("PUT /b?X-Amz-Signature=0a1b&x=1", "PUT /b?X-Amz-Signature=…&x=1"),
        ("mos_center and mos_jobs are no tokens", "mos_center and mos_jobs are no tokens"),
    ],
)
def test_what_is_secret_is_masked_whoever_logged_it(text: str, kept: str) -> None:
    assert masked(text) == kept
    record = logging.LogRecord("any", logging.INFO, "", 0, "%s", (text,), None)
    assert kept in TextLines().format(record)
    assert json.loads(JsonLines("api").format(record))["message"] == kept


def test_lines_for_people_end_with_the_request() -> None:
    record = logging.LogRecord("any", logging.INFO, "", 0, "alias.moved by=%s", ("ada",), None)

    with request_context("abcdefgh"):
        assert TextLines().format(record).endswith("alias.moved by=ada request_id=abcdefgh")
    assert TextLines().format(record).endswith("alias.moved by=ada")
