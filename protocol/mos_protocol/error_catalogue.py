"""What each error code means and what to do about it: the text behind `/errors/<code>`.

What a code becomes at each edge is in `errors.EDGES`; `docs/errors.md` is made of both.
"""

from __future__ import annotations

from typing import NamedTuple

from mos_protocol.errors import EDGES


class Explanation(NamedTuple):
    """A code for people; `retry`: the same call may succeed a little later."""

    title: str
    meaning: str
    remedy: str
    retry: bool = False


CATALOGUE: dict[str, Explanation] = {
    "internal": Explanation(
        "The center failed to answer",
        "Something happened that the center has no words for: a mistake in the program, or a "
        "machine that misbehaves. Nothing about the request is known to be wrong.",
        "Try once more. If it stays, give the operator the request id (header `X-Request-Id`): "
        "the center's log has the details under it.",
    ),
    "invalid_request": Explanation(
        "The request is not valid",
        "A field is missing, unknown, of the wrong kind or out of range, or the request makes no "
        "sense as a whole. `fields.problems` lists the places where there are several.",
        "Mend what the message names. `GET /openapi.json` describes every request.",
    ),
    "invalid_name": Explanation(
        "A name is not valid",
        "Names of members, concepts, models, aliases and tokens are 1 to 63 characters: lower-case "
        "letters, digits, and `.`, `_`, `-` between them. A concept is `owner/name`.",
        "Choose a name of this form.",
    ),
    "invalid_package": Explanation(
        "A concept package can't be accepted",
        "A file of the package is damaged, incomplete, not what the manifest lists, tuned on "
        "another base, or holds values that no tuning produces. `fields.file` names the file and "
        "`fields.reason` says why. A refused package leaves nothing behind in the center.",
        "Write the package again with `mos-client tune` or `mos-client import`, against a base of "
        "this center, and submit it again.",
    ),
    "conflict": Explanation(
        "It contradicts what is already there",
        "The name is taken, the thing is in a state that this can't be done in, an idempotency key "
        "was used for another request.",
        "Look at how it stands now and decide anew.",
    ),
    "not_found": Explanation(
        "There is no such thing",
        "Nothing of this name is here, or it is and the caller may not see it: the center does not "
        "tell the two apart.",
        "List what there is. If it should be there, ask its owner to share it with you.",
    ),
    "gone": Explanation(
        "It was withdrawn",
        "The version existed and was withdrawn, for example because somebody whom a concept shows "
        "took back their consent. Its files are not given out any more.",
        "Use another version, or ask for a fusion without the withdrawn concept.",
    ),
    "unauthenticated": Explanation(
        "The center does not know who calls",
        "No token came with the call, or one that was not issued here, was revoked or has expired, "
        "or its member is disabled.",
        "Join with an invitation (`mos-client join URL TOKEN`), or pass a valid token with "
        "`--token`, `MOS_TOKEN`, or the header `Authorization: Bearer …`.",
    ),
    "permission_denied": Explanation(
        "The caller may not do this",
        "The member's role, or the scopes of the token, do not reach this far, or the thing "
        "belongs to somebody else.",
        "Use a token with the scope that the message names, or ask an admin of the center.",
    ),
    "quota_exceeded": Explanation(
        "The member has all that it may have",
        "Members have limits of stored bytes, concepts, and unfinished fusions. This would go "
        "beyond one of them.",
        "Withdraw what is not needed, wait until fusions have ended, or ask an admin for more.",
    ),
    "unavailable": Explanation(
        "It can't be reached now",
        "The center is starting, stopping or busy, or something that it needs, such as its "
        "database or its store, does not answer.",
        "Try again in a moment, with growing pauses; the client does so by itself. Changes that "
        "are repeated with the same `Idempotency-Key` are made once.",
        retry=True,
    ),
    "rate_limited": Explanation(
        "Too many calls in a short time",
        "The member made more calls within a minute than the center allows, or the address sent "
        "too many calls without a valid token.",
        "Wait for as many seconds as `Retry-After` says, then call less often. Answers carry "
        "`RateLimit-Remaining`; following a fusion's events costs one call.",
        retry=True,
    ),
    "job_failed": Explanation(
        "A fusion could not be finished",
        "The fusion ran and stopped: a package has statistics that can't be solved for, the worker "
        "lacked memory or disk, or the program failed. The fusion's `error` says which.",
        "Follow the hint. Retry the fusion if the cause is gone; the center's log has the details "
        "under the fusion's id.",
    ),
}


def errors_page() -> str:
    """The text of `docs/errors.md`."""
    return "\n".join([_HEAD, *(_row(code) for code in EDGES), "", *(_section(c) for c in EDGES)])


_HEAD = """# Errors

<!-- Written by `make proto` from mos_protocol.errors and mos_protocol.error_catalogue. -->

Every failure has a code, the same at every edge: in the `code` of a REST answer
(`application/problem+json`, whose `type` is `/errors/<code>` at the center), in the trailing
metadata of a gRPC call (`mos-error-bin`, a JSON object with `code`, `message`, `hint` and
`fields`), and in what a command prints with `--json`. A message says what was expected and what
came; the hint says what to do next.

Answers to `unavailable` and `rate_limited` may carry `Retry-After` in seconds; over gRPC the same
number is in `fields.retry_after`, and in milliseconds in `grpc-retry-pushback-ms`. Commands end
with the exit code below, and with 0 when all went well; 130 means that somebody interrupted them.

| code | HTTP | gRPC | exit code |
|---|---|---|---|"""


def _row(code: str) -> str:
    edge = EDGES[code]
    return f"| [`{code}`](#{code}) | {edge.http} | {edge.grpc} | {edge.exit_code} |"


def _section(code: str) -> str:
    told, edge = CATALOGUE[code], EDGES[code]
    again = " The same call may succeed a little later." if told.retry else ""
    return (
        f"## {code}\n\n**{told.title}** — HTTP {edge.http}, gRPC {edge.grpc}, "
        f"exit code {edge.exit_code}.{again}\n\n{told.meaning}\n\n*What to do:* {told.remedy}\n"
    )
