"""The bytes of a model version over REST, from any offset."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from urllib.parse import quote

import httpx
from mos_protocol.errors import Unavailable

from mos_client.session.rest import RestClient
from mos_client.session.results import ModelFile, ModelVersion


class ResponseBody:
    """An HTTP reply whose first byte is at `offset` of the file."""

    def __init__(self, response: httpx.Response, offset: int) -> None:
        self.offset = offset
        self._response = response

    def pieces(self) -> Iterator[bytes]:
        """The body in pieces as they arrive: none is lost when the connection breaks."""
        return self._response.iter_bytes()


class ModelFiles:
    """The files of one model version at a center."""

    def __init__(self, rest: RestClient, version: ModelVersion) -> None:
        self._rest = rest
        self._root = f"/v1/models/{version.model}/{version.version}/files"

    @contextmanager
    def open(self, file: ModelFile, offset: int) -> Iterator[ResponseBody]:
        """Ask for the file from `offset`; a center that ignores that sends it from the start."""
        headers = {"Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        with self._rest.stream(f"{self._root}/{quote(file.path)}", headers) as response:
            if response.status_code == HTTPStatus.PARTIAL_CONTENT:
                said = response.headers.get("content-range", "")
                if not said.startswith(f"bytes {offset}-"):
                    raise Unavailable(f"The center sent another part of {file.path} than asked.")
                yield ResponseBody(response, offset)
            elif response.status_code == HTTPStatus.OK:
                yield ResponseBody(response, 0)
            else:
                raise Unavailable(f"The center has less of {file.path} than it lists.")
