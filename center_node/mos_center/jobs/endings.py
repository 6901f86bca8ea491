"""How a job ends without its result: nobody wants it any more, or something went wrong in it."""

from __future__ import annotations

from mos_protocol.errors import JobFailed


class NotWantedError(Exception):
    """Somebody cancelled, or it is finished elsewhere: there is nothing to tell anybody."""


def unexpected(noun: str, job_id: str, error: Exception) -> JobFailed:
    """What a requester is told of an error that nobody foresaw; the log has the rest."""
    return JobFailed(
        f"The {noun} stopped at an unexpected {type(error).__name__}.",
        hint=f"The center's log has the details under the {noun}'s id, {job_id}.",
    )
