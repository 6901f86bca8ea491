"""The center's gRPC service for submissions, with its failures as `MosError`s."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any
from urllib.parse import urlsplit

import grpc
from mos_protocol.errors import EDGES, MosError, Unavailable, error_class, rebuild
from mos_protocol.wire.v1 import submissions_pb2 as pb
from mos_protocol.wire.v1.submissions_pb2_grpc import SubmissionsStub

from mos_client.session.request_id import REQUEST_ID, new_request_id, with_request_id
from mos_client.session.results import Submission, SubmissionState
from mos_client.session.tls import Tls

ERROR_KEY = "mos-error-bin"
CALL_SECONDS = 60.0
CONNECT_SECONDS = 10.0
# A center hashes and checks every tensor of a package before it answers a commit.
COMMIT_SECONDS = 1800.0
_WILDCARDS = {"0.0.0.0", "[::]", "::", "*", ""}


class SubmissionsClient:
    """Offer, PutBlob, Commit and Watch at one center. Raises `MosError`s only.

    Without `tls` the connection is in plain text.
    """

    def __init__(
        self, target: str, token: str | None, *, tls: Tls | None = None, request_id: str = ""
    ) -> None:
        self.target = target
        self._metadata: tuple[tuple[str, str], ...] = (
            (REQUEST_ID, request_id or new_request_id()),
        )
        if token:
            self._metadata += (("authorization", f"Bearer {token}"),)
        options = [
            # Servers take pings more often than every five minutes for abuse.
            ("grpc.keepalive_time_ms", 310_000),
            # A restarted center is back in a second; the default grows to two minutes.
            ("grpc.initial_reconnect_backoff_ms", 200),
            ("grpc.max_reconnect_backoff_ms", 2_000),
        ]
        if tls is not None:
            self._channel = grpc.secure_channel(target, tls.grpc_credentials(), options=options)
        else:
            self._channel = grpc.insecure_channel(target, options=options)
        self._stub = SubmissionsStub(self._channel)

    def close(self) -> None:
        self._channel.close()

    def check(self, seconds: float = CONNECT_SECONDS) -> None:
        """Raise `Unavailable` unless a connection can be made."""
        ready = grpc.channel_ready_future(self._channel)
        try:
            ready.result(seconds)
        except grpc.FutureTimeoutError:
            raise Unavailable(
                f"The center's upload service at {self.target} can't be reached.",
                hint="Ask its operator: is that port open, is the address right "
                "(MOS_GRPC_ADDRESS), does its certificate name this host?",
            ) from None
        finally:
            ready.cancel()

    def offer(
        self, manifest: bytes, visibility: str = ""
    ) -> tuple[Submission, tuple[pb.Blob, ...]]:
        """Announce a package; returns where it stands and the blobs that the center lacks.

        `visibility` says who shall see the concept; "" leaves it as it is, or to the center.
        """
        request = pb.OfferRequest(manifest=manifest, visibility=visibility)
        with self._told_as_mos_errors():
            reply = self._stub.Offer(request, timeout=CALL_SECONDS, metadata=self._metadata)
        return submission_of(reply.status), tuple(reply.missing)

    def put_blob(self, submission_id: str, sha256: str, pieces: Iterator[bytes]) -> None:
        """Send one blob; the center keeps it only when its sha256 is right.

        What `pieces` raises is raised here; the center then has too few bytes and keeps none.
        """
        requests = _BlobRequests(submission_id, sha256, pieces)
        try:
            with self._told_as_mos_errors():
                self._stub.PutBlob(requests, metadata=self._metadata)
        except MosError:
            if requests.failure is None:
                raise
        if requests.failure is not None:
            raise requests.failure

    def commit(self, submission_id: str) -> Submission:
        """Have the whole package validated; returns its new state."""
        request = pb.CommitRequest(submission_id=submission_id)
        with self._told_as_mos_errors():
            reply = self._stub.Commit(request, timeout=COMMIT_SECONDS, metadata=self._metadata)
        return submission_of(reply.status)

    def watch(self, submission_id: str) -> Iterator[Submission]:
        """The submission's states as they change, until the center closes the stream."""
        request = pb.WatchRequest(submission_id=submission_id)
        call = self._stub.Watch(request, metadata=self._metadata)
        try:
            with self._told_as_mos_errors():
                for status in call:
                    yield submission_of(status)
        finally:
            call.cancel()

    @contextmanager
    def _told_as_mos_errors(self) -> Iterator[None]:
        try:
            yield
        except grpc.RpcError as error:
            raise self._translated(error) from None

    def _translated(self, error: grpc.RpcError) -> MosError:
        # The types of grpc say nothing of what a failed call carries.
        metadata: Any = error.trailing_metadata()
        found = dict(metadata or ())
        if told := _told(found.get(ERROR_KEY, b"")):
            return with_request_id(told, found.get(REQUEST_ID, ""))
        status, details = error.code(), error.details() or "no details"
        if status in _AWAY:
            return Unavailable(
                f"The center's upload service at {self.target} can't be reached ({details}).",
                hint="Try again: what arrived is not sent again.",
            )
        return error_class(_CODES.get(status.name, "internal"))(
            f"The center's upload service answered {status.name}: {details}."
        )


def grpc_target(told: str, center: str) -> str:
    """Where to dial: the address that the center tells, on its own host when it names none."""
    host, _, port = told.rpartition(":")
    if host in _WILDCARDS:
        name = urlsplit(center).hostname or "127.0.0.1"
        host = f"[{name}]" if ":" in name else name
    return f"{host}:{port}"


def submission_of(status: pb.SubmissionStatus) -> Submission:
    """The value for a status message; a state that this client does not know is an error."""
    state = _STATES.get(status.state)
    if state is None:
        raise MosError(
            f"The center reports a submission state ({status.state}) unknown to this client.",
            hint="Update mos-client.",
        )
    return Submission(
        id=status.submission_id,
        state=state,
        concept=status.concept,
        version=status.version or None,
        reason=status.reason,
    )


class _BlobRequests:
    """The messages of one blob. gRPC reads them in a thread and would only log what fails there."""

    def __init__(self, submission_id: str, sha256: str, pieces: Iterator[bytes]) -> None:
        start = pb.BlobStart(submission_id=submission_id, sha256=sha256)
        self._messages = chain(
            (pb.PutBlobRequest(start=start),), (pb.PutBlobRequest(data=piece) for piece in pieces)
        )
        self.failure: Exception | None = None

    def __iter__(self) -> Iterator[pb.PutBlobRequest]:
        return self

    def __next__(self) -> pb.PutBlobRequest:
        try:
            return next(self._messages)
        except StopIteration:
            raise
        except Exception as error:
            self.failure = error
            raise StopIteration from error


def _told(value: bytes | str) -> MosError | None:
    try:
        body = json.loads(value)
        fields = body.get("fields") or {}
        return rebuild(
            str(body["code"]),
            str(body["message"]),
            hint=str(body.get("hint") or ""),
            fields=fields if isinstance(fields, dict) else {},
        )
    except (ValueError, KeyError, AttributeError):
        return None


# A center that is being stopped cancels the calls that it was answering.
_AWAY = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
)
_STATES: dict[int, SubmissionState] = {
    pb.SubmissionState.Value(f"SUBMISSION_STATE_{state.name}"): state for state in SubmissionState
}
_CODES: dict[str, str] = {}
for _code, _edge in EDGES.items():
    _CODES.setdefault(_edge.grpc, _code)
