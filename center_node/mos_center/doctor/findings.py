"""What a check found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from mos_protocol.errors import MosError

from mos_center.telemetry.logs import masked


class Level(StrEnum):
    """How bad it is; `fail` means that the center can't work like this."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """One line of the report: what was looked at, what was found, what to do."""

    check: str
    level: Level
    found: str
    todo: str = ""


def ok(check: str, found: str) -> Finding:
    return Finding(check, Level.OK, found)


def warn(check: str, found: str, todo: str) -> Finding:
    return Finding(check, Level.WARN, found, todo)


def fail(check: str, found: str, todo: str) -> Finding:
    return Finding(check, Level.FAIL, found, todo)


Check = Callable[[], Iterable[Finding]]


def run(name: str, check: Check) -> Iterator[Finding]:
    """Everything that the check finds; an error that it raises is a finding too."""
    try:
        yield from check()
    except MosError as error:
        yield fail(name, error.message, error.hint)
    # A doctor that dies of what it looks for helps nobody.
    except Exception as error:
        first = masked(str(error)).strip().partition("\n")[0]
        yield fail(name, f"{type(error).__name__}: {first}", "Mend what it names.")
