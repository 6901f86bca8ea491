"""Every error that crosses a boundary, and what it becomes at each edge.

    MosError
    ├── InvalidRequest          the caller can mend the request
    │   ├── InvalidName
    │   ├── InvalidPackage      a concept package is damaged, hostile or for another base
    │   └── Conflict            the request contradicts what is already there
    ├── NotFound
    ├── Gone                    it was there and is withdrawn
    ├── Unauthenticated         no token, or one that nobody issued
    ├── PermissionDenied
    │   └── QuotaExceeded       the member has all that it may have
    ├── RateLimited             too many calls in a short time
    ├── Unavailable             the other side can't be reached now; trying again may help
    └── JobFailed               a fusion ran and could not be finished

Each error says what was expected, what came and what to do next. `EDGES` is the one table that
turns it into an HTTP status, a gRPC status and an exit code.
"""

# ruff: noqa: N818 - the tree reads as what happened: NotFound, Conflict, Unavailable.
from __future__ import annotations

from typing import ClassVar, NamedTuple


class Edge(NamedTuple):
    """What an error becomes outside: HTTP status, gRPC status name, process exit code."""

    http: int
    grpc: str
    exit_code: int


class MosError(Exception):
    """An error that is told to a person: `message` says what happened, `hint` what to do."""

    code: ClassVar[str] = "internal"

    def __init__(self, message: str, /, *, hint: str = "", **fields: object) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.fields = fields

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class InvalidRequest(MosError):
    code = "invalid_request"


class InvalidName(InvalidRequest):
    code = "invalid_name"


class InvalidPackage(InvalidRequest):
    """A concept package that can't be accepted; `file` is the path inside the package."""

    code = "invalid_package"

    def __init__(self, file: str, reason: str, *, hint: str = "") -> None:
        super().__init__(f"{file}: {reason}", hint=hint, file=file, reason=reason)
        self.file = file
        self.reason = reason

    def __reduce__(self) -> tuple[object, ...]:
        # The default rebuilds from the message alone, and durable jobs store errors as pickles.
        return type(self), (self.file, self.reason), self.__dict__


class Conflict(InvalidRequest):
    code = "conflict"


class NotFound(MosError):
    code = "not_found"


class Gone(MosError):
    code = "gone"


class Unauthenticated(MosError):
    code = "unauthenticated"


class PermissionDenied(MosError):
    code = "permission_denied"


class QuotaExceeded(PermissionDenied):
    code = "quota_exceeded"


class Unavailable(MosError):
    code = "unavailable"


class RateLimited(MosError):
    """Too many calls; `retry_after` says in seconds when the next one is welcome."""

    code = "rate_limited"

    @property
    def retry_after(self) -> int:
        """What the other side told, which over a wire may be text; 1 when it told nothing."""
        told = str(self.fields.get("retry_after", ""))
        return int(told) if told.isascii() and told.isdigit() else 1


class JobFailed(MosError):
    code = "job_failed"


EDGES: dict[str, Edge] = {
    MosError.code: Edge(500, "INTERNAL", 1),
    InvalidRequest.code: Edge(422, "INVALID_ARGUMENT", 2),
    InvalidName.code: Edge(422, "INVALID_ARGUMENT", 2),
    InvalidPackage.code: Edge(422, "FAILED_PRECONDITION", 3),
    Conflict.code: Edge(409, "ALREADY_EXISTS", 4),
    NotFound.code: Edge(404, "NOT_FOUND", 5),
    Gone.code: Edge(410, "FAILED_PRECONDITION", 5),
    Unauthenticated.code: Edge(401, "UNAUTHENTICATED", 6),
    PermissionDenied.code: Edge(403, "PERMISSION_DENIED", 6),
    QuotaExceeded.code: Edge(403, "RESOURCE_EXHAUSTED", 9),
    Unavailable.code: Edge(503, "UNAVAILABLE", 7),
    RateLimited.code: Edge(429, "RESOURCE_EXHAUSTED", 7),
    JobFailed.code: Edge(500, "ABORTED", 8),
}


def error_class(code: str) -> type[MosError]:
    """Return the class that carries `code`; an unknown code is a plain `MosError`."""
    return _BY_CODE.get(code, MosError)


def rebuild(code: str, message: str, *, hint: str = "", fields: dict[str, object]) -> MosError:
    """Return the error that the other side raised, from what travelled over the wire."""
    if code == InvalidPackage.code:
        return InvalidPackage(
            str(fields.get("file", "")), str(fields.get("reason", message)), hint=hint
        )
    # The other side chooses the keys; one that is also a parameter must not end in a TypeError.
    told = {key: value for key, value in fields.items() if key not in ("self", "hint")}
    return error_class(code)(message, hint=hint, **told)


_BY_CODE: dict[str, type[MosError]] = {
    cls.code: cls
    for cls in (
        InvalidRequest,
        InvalidName,
        InvalidPackage,
        Conflict,
        NotFound,
        Gone,
        Unauthenticated,
        PermissionDenied,
        QuotaExceeded,
        Unavailable,
        RateLimited,
        JobFailed,
    )
}
