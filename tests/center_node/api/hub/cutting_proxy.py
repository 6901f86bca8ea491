"""A connection between a program and a center that breaks once, and remembers what was asked."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_REQUEST = re.compile(rb"^(GET|HEAD) (\S+) HTTP/1\.1\r\n((?:[^\r\n]+\r\n)*)", re.MULTILINE)


@dataclass
class CuttingProxy:
    """Forwards bytes to `target`; the answer that passes `cut_after` bytes is cut, once.

    `stalls`: it goes on for ever instead, without another byte.
    """

    target: str
    cut_after: int
    stalls: bool = False
    url: str = ""
    broken: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list[tuple[str, str, str]] = field(default_factory=list)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[CuttingProxy]:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server:
            yield self

    def fetched(self) -> list[tuple[str, str]]:
        """Path and range of each GET of a file."""
        return [(path, span) for method, path, span in self.asked if _is_file_get(method, path)]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        where = urlsplit(self.target)
        onward_reader, onward_writer = await asyncio.open_connection(where.hostname, where.port)
        with contextlib.suppress(ConnectionError):
            await asyncio.gather(
                self._requests(reader, onward_writer), self._answers(onward_reader, writer)
            )
        for each in (writer, onward_writer):
            each.close()

    async def _requests(self, reader: asyncio.StreamReader, onward: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            for method, path, headers in _REQUEST.findall(data):
                span = re.search(rb"(?i)^range: *(\S+)", headers, re.MULTILINE)
                told = span[1].decode() if span else ""
                self.asked.append((method.decode(), path.decode(), told))
            onward.write(data)
            await onward.drain()
        onward.close()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passed = 0
        while data := await reader.read(1 << 16):
            passed += len(data)
            if passed > self.cut_after and not self.broken.is_set():
                self.broken.set()
                if self.stalls:
                    await asyncio.Event().wait()
                raise ConnectionError("cut")
            writer.write(data)
            await writer.drain()
        writer.close()


def _is_file_get(method: str, path: str) -> bool:
    return method == "GET" and "/resolve/" in path
