"""What every RPC passes: the check of rights going in, the error table coming out."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any
from urllib.parse import unquote

import grpc
from mos_protocol.errors import EDGES, MosError, PermissionDenied, RateLimited, Unauthenticated

from mos_center.api.bearer import bearer_token
from mos_center.api.rate_limits import RateLimits
from mos_center.domain.access import Caller
from mos_center.domain.request_context import request_id
from mos_center.domain.rights import Needs, Public, Right

log = logging.getLogger(__name__)

ERROR_KEY = "mos-error-bin"
REQUEST_ID = "x-request-id"
# Trailing metadata of more than 8 KiB would be dropped on its way.
MAX_MESSAGE_CHARS = 1000


# Whose token came with the call; set for the RPC's own code.
_caller: ContextVar[Caller] = ContextVar("caller")


def caller_here() -> Caller:
    """Who makes the RPC that is being answered."""
    return _caller.get()


class Edge(grpc.aio.ServerInterceptor):
    """Checks every call against the table of rights, and turns errors into gRPC statuses.

    A new RPC is closed until the table lists it, and translated without a line of its own.
    """

    def __init__(
        self,
        authenticate: Callable[[str | None], Caller],
        rights: Mapping[str, Right],
        limits: RateLimits,
    ) -> None:
        self._authenticate = authenticate
        self._rights = rights
        self._limits = limits

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        right = self._rights.get(handler_call_details.method)
        if handler is None or isinstance(right, Public):
            return handler
        if handler.response_streaming:
            behaviour = self._streaming(handler.unary_stream or handler.stream_stream, right)
        else:
            behaviour = self._single(handler.unary_unary or handler.stream_unary, right)
        return handler_like(handler, behaviour)

    def _single(self, inner: Callable[..., Any], right: Needs | None) -> Callable[..., Any]:
        async def behaviour(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            async with self._guarded(context, right):
                return await inner(request, context)

        return behaviour

    def _streaming(self, inner: Callable[..., Any], right: Needs | None) -> Callable[..., Any]:
        async def behaviour(
            request: Any, context: grpc.aio.ServicerContext[Any, Any]
        ) -> AsyncIterator[Any]:
            async with self._guarded(context, right):
                async for reply in inner(request, context):
                    yield reply

        return behaviour

    @asynccontextmanager
    async def _guarded(
        self, context: grpc.aio.ServicerContext[Any, Any], right: Needs | None
    ) -> AsyncIterator[None]:
        try:
            caller = await self._let_in(_address(context.peer()), _token(context))
            _check(caller, right)
            _caller.set(caller)
            yield
        except MosError as error:
            await _abort(context, error)
        except grpc.aio.AbortError:
            raise
        except Exception:
            # The outermost edge: what happened stays in the log.
            log.exception("rpc.failed")
            await _abort(
                context, MosError("The center failed to answer.", hint="Its log says why.")
            )

    async def _let_in(self, address: str, token: str | None) -> Caller:
        """Find out who calls, and count the call."""
        self._limits.check_address(address, token)
        try:
            caller = await asyncio.to_thread(self._authenticate, token)
        except Unauthenticated:
            self._limits.count_failure(address)
            raise
        self._limits.know(token)
        self._limits.count_call(caller)
        return caller


def handler_like(handler: Any, behaviour: Callable[..., Any]) -> Any:
    """A handler of the same kind that runs `behaviour`."""
    return _KINDS[handler.request_streaming, handler.response_streaming](
        behaviour,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )


_KINDS: dict[tuple[bool, bool], Callable[..., Any]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


def _check(caller: Caller, right: Needs | None) -> None:
    if right is None:
        raise PermissionDenied("This call is not open to anyone.", hint="Update the client.")
    if right.scope is not None:
        caller.require(right.scope, right.role)


def _address(peer: str) -> str:
    """The address in a peer's name, such as `ipv4:192.0.2.7:5000`."""
    _, _, host_and_port = peer.partition(":")
    return unquote(host_and_port.rpartition(":")[0]).strip("[]")


def _token(context: grpc.aio.ServicerContext[Any, Any]) -> str | None:
    for key, value in context.invocation_metadata() or ():
        if key == "authorization" and isinstance(value, str):
            return bearer_token(value)
    return None


async def _abort(context: grpc.aio.ServicerContext[Any, Any], error: MosError) -> None:
    edge = EDGES.get(error.code, EDGES[MosError.code])
    told = json.dumps(
        {
            "code": error.code,
            "message": error.message[:MAX_MESSAGE_CHARS],
            "hint": error.hint[:MAX_MESSAGE_CHARS],
            "fields": {key: str(value)[:MAX_MESSAGE_CHARS] for key, value in error.fields.items()},
        }
    )
    await context.abort(
        grpc.StatusCode[edge.grpc],
        str(error)[:MAX_MESSAGE_CHARS],
        ((ERROR_KEY, told.encode()), (REQUEST_ID, request_id.get()), *_pushback(error)),
    )


def _pushback(error: MosError) -> tuple[tuple[str, str], ...]:
    """When to try again, in gRPC's own words."""
    if not isinstance(error, RateLimited):
        return ()
    return (("grpc-retry-pushback-ms", str(1000 * error.retry_after)),)
