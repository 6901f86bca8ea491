"""Around every gRPC call: its request id, how long it took, and a line in the log."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

import grpc

from mos_center.api.rpc.edge import REQUEST_ID, handler_like
from mos_center.domain.request_context import accepted_request_id, request_id
from mos_center.telemetry import metrics

log = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]
_HEALTH = "/grpc.health.v1.Health/"
_PUT_BLOB = "/mos.v1.Submissions/PutBlob"


class Requests(grpc.aio.ServerInterceptor):
    """Takes or makes the call's request id, answers it back, measures and logs."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(_HEALTH):
            return handler
        if handler.response_streaming:
            behaviour = _streaming(method, handler.unary_stream or handler.stream_stream)
        else:
            behaviour = _single(method, handler.unary_unary or handler.stream_unary)
        return handler_like(handler, behaviour)


def _single(method: str, inner: Callable[..., Any]) -> Callable[..., Any]:
    async def behaviour(request: Any, context: Context) -> Any:
        with _measured(method, context):
            reply = await inner(request, context)
            if method == _PUT_BLOB:
                metrics.UPLOADED_BYTES.inc(reply.size)
            return reply

    return behaviour


def _streaming(method: str, inner: Callable[..., Any]) -> Callable[..., Any]:
    async def behaviour(request: Any, context: Context) -> AsyncIterator[Any]:
        with _measured(method, context):
            async for reply in inner(request, context):
                yield reply

    return behaviour


@contextmanager
def _measured(method: str, context: Context) -> Iterator[None]:
    identifier = accepted_request_id(_told(context))
    # Never reset: a call has its own task, and a stream may be closed in another context.
    request_id.set(identifier)
    context.set_trailing_metadata(((REQUEST_ID, identifier),))
    began = monotonic()
    with metrics.in_flight("rpc"):
        try:
            yield
        except GeneratorExit:
            _tell(method, "CANCELLED", monotonic() - began)
            raise
        except BaseException:
            _tell(method, _code(context, "UNKNOWN"), monotonic() - began)
            raise
        _tell(method, _code(context, "OK"), monotonic() - began)


def _told(context: Context) -> str | None:
    for key, value in context.invocation_metadata() or ():
        if key == REQUEST_ID and isinstance(value, str):
            return value
    return None


def _code(context: Context, unset: str) -> str:
    # Set by an abort; 0 is both OK and unset.
    value = context.code()
    code = value.value[0] if isinstance(value, grpc.StatusCode) else value
    names = {item.value[0]: item.name for item in grpc.StatusCode}
    return names.get(code, unset) if code else unset


def _tell(method: str, code: str, seconds: float) -> None:
    metrics.RPC_CALLS.labels(method, code).inc()
    metrics.RPC_SECONDS.labels(method).observe(seconds)
    log.info("rpc.answered method=%s code=%s seconds=%.3f", method, code, seconds)
