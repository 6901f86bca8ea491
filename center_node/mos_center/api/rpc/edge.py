"""What every RPC passes: the token check going in, the error table coming out."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
from mos_protocol.errors import EDGES, MosError

from mos_center.api.bearer import bearer_token

log = logging.getLogger(__name__)

ERROR_KEY = "mos-error-bin"
# Trailing metadata of more than 8 KiB would be dropped on its way.
MAX_MESSAGE_CHARS = 1000
HEALTH_PREFIX = "/grpc.health.v1.Health/"


class Edge(grpc.aio.ServerInterceptor):
    """Checks the token of every call but health checks, and turns errors into gRPC statuses.

    A new service is protected and translated without a line of its own.
    """

    def __init__(self, authenticate: Callable[[str | None], str]) -> None:
        self._authenticate = authenticate

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None or handler_call_details.method.startswith(HEALTH_PREFIX):
            return handler
        if handler.response_streaming:
            behaviour = self._streaming(handler.unary_stream or handler.stream_stream)
        else:
            behaviour = self._single(handler.unary_unary or handler.stream_unary)
        return _KINDS[handler.request_streaming, handler.response_streaming](
            behaviour,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _single(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        async def behaviour(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            async with self._guarded(context):
                return await inner(request, context)

        return behaviour

    def _streaming(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        async def behaviour(
            request: Any, context: grpc.aio.ServicerContext[Any, Any]
        ) -> AsyncIterator[Any]:
            async with self._guarded(context):
                async for reply in inner(request, context):
                    yield reply

        return behaviour

    @asynccontextmanager
    async def _guarded(self, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[None]:
        try:
            await asyncio.to_thread(self._authenticate, _token(context))
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


_KINDS: dict[tuple[bool, bool], Callable[..., Any]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


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
        ((ERROR_KEY, told.encode()),),
    )
