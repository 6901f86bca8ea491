"""All checks, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from mos_protocol.errors import MosError

from mos_center.doctor import serving, storing
from mos_center.doctor.findings import Check, Finding, fail, ok, run
from mos_center.settings import Settings, load_settings
from mos_center.storage.database import SqlDatabase


def examine(
    environment: Mapping[str, str], *, full: bool = False, **options: object
) -> Iterator[Finding]:
    """Look at the center that environment and options name; nothing of it is changed."""
    try:
        settings = load_settings(environment, **options)
    except MosError as error:
        yield fail("settings", error.message, error.hint)
        return
    yield ok("settings", "known and of the right kind")
    if not settings.data.is_dir():
        yield fail(
            "data", f"{settings.data.resolve()} is not there", "Name it with --data or MOS_DATA."
        )
        return
    yield from _checked(settings, full=full)


def _checked(settings: Settings, *, full: bool) -> Iterator[Finding]:
    known = SqlDatabase(settings.url)
    checks: dict[str, Check] = {
        "database": partial(storing.database, known),
        "store": partial(storing.store, settings),
        **({"files": partial(storing.files, settings, known)} if full else {}),
        "disk": partial(storing.disk, settings.data),
        "bases": partial(storing.bases, known, full=full),
        "jobs": partial(serving.jobs, settings),
        "workers": partial(serving.workers, settings, known),
        "device": partial(serving.device, settings),
        "evaluation": partial(serving.evaluation, settings),
        "tls": partial(serving.tls, settings),
        "access": partial(serving.access, settings, known),
    }
    try:
        for name, check in checks.items():
            yield from run(name, check)
    finally:
        known.close()
