"""The service `mos.v1.Submissions`: how a concept package reaches this center."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from mos_protocol.errors import InvalidRequest
from mos_protocol.names import Digest
from mos_protocol.wire.v1 import submissions_pb2 as wire
from mos_protocol.wire.v1 import submissions_pb2_grpc

from mos_center.api.rpc.edge import caller_here
from mos_center.domain.access import Visibility
from mos_center.domain.models import Submission
from mos_center.domain.states import SubmissionState
from mos_center.service.center import Center
from mos_center.service.following import changes
from mos_center.service.submissions import MissingBlob

Context = grpc.aio.ServicerContext[Any, Any]

# Validating takes long: calls that are quick must not wait until many packages are through.
VALIDATIONS_AT_ONCE = 4
_SETTLED = frozenset(
    {SubmissionState.APPROVED, SubmissionState.REJECTED, SubmissionState.WITHDRAWN}
)


class SubmissionsServicer(submissions_pb2_grpc.SubmissionsServicer):
    """Translates messages; the use cases run in threads."""

    def __init__(self, center: Center, stopping: asyncio.Event) -> None:
        self._center = center
        self._stopping = stopping
        self._validations = asyncio.Semaphore(VALIDATIONS_AT_ONCE)

    async def Offer(self, request: wire.OfferRequest, context: Context) -> wire.OfferReply:  # noqa: N802
        offer = await asyncio.to_thread(
            self._center.submissions.offer,
            request.manifest,
            caller=caller_here(),
            visibility=_visibility(request.visibility),
        )
        return wire.OfferReply(
            status=_status(offer.submission), missing=[_blob(blob) for blob in offer.missing]
        )

    async def PutBlob(  # noqa: N802
        self, request_iterator: AsyncIterator[wire.PutBlobRequest], context: Context
    ) -> wire.PutBlobReply:
        first = await anext(request_iterator, None)
        if first is None or first.WhichOneof("part") != "start":
            raise InvalidRequest(
                "The stream must begin with `start`.", hint="See submissions.proto."
            )
        upload = await asyncio.to_thread(
            self._center.uploads.begin,
            first.start.submission_id,
            Digest(first.start.sha256),
            caller=caller_here(),
        )
        with upload:
            async for message in request_iterator:
                if message.WhichOneof("part") != "data":
                    raise InvalidRequest(
                        "Only `data` may follow `start`.", hint="Send one blob per call."
                    )
                await asyncio.to_thread(upload.write, message.data)
            size = await asyncio.to_thread(upload.finish)
        return wire.PutBlobReply(size=size)

    async def Commit(self, request: wire.CommitRequest, context: Context) -> wire.CommitReply:  # noqa: N802
        async with self._validations:
            submission = await asyncio.to_thread(
                self._center.validation.commit, request.submission_id, caller=caller_here()
            )
        return wire.CommitReply(status=_status(submission))

    async def Watch(  # noqa: N802
        self, request: wire.WatchRequest, context: Context
    ) -> AsyncIterator[wire.SubmissionStatus]:
        caller = caller_here()
        states = changes(
            lambda: self._center.submissions.get(request.submission_id, caller=caller),
            lambda submission: submission.state in _SETTLED,
            self._stopping,
        )
        async for submission in states:
            if submission is not None:
                yield _status(submission)


def _status(submission: Submission) -> wire.SubmissionStatus:
    return wire.SubmissionStatus(
        submission_id=submission.id,
        state=wire.SubmissionState.Value(f"SUBMISSION_STATE_{submission.state.name}"),
        concept=submission.concept,
        version=submission.version or 0,
        reason=submission.reason,
    )


def _visibility(text: str) -> Visibility | None:
    try:
        return Visibility(text) if text else None
    except ValueError:
        raise InvalidRequest(
            f"{text[:40]!r} is no visibility.", hint=f"Known: {', '.join(Visibility)}."
        ) from None


def _blob(missing: MissingBlob) -> wire.Blob:
    return wire.Blob(
        path=missing.entry.path,
        sha256=missing.entry.sha256,
        size=missing.entry.size,
        put_url=missing.put_url or "",
    )
