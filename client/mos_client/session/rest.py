"""The center's REST API: one place that turns answers and failures into values and `MosError`s."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx
from mos_protocol.errors import (
    EDGES,
    InvalidRequest,
    MosError,
    NotFound,
    Unavailable,
    error_class,
    rebuild,
)
from pydantic import BaseModel, ValidationError

Answer = TypeVar("Answer", bound=BaseModel)
PAGE = 100
RANGE_NOT_SATISFIABLE = 416


class RestClient:
    """JSON over HTTP to one center. Raises `MosError`s only."""

    def __init__(self, center: str, token: str | None, timeout: float) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.url = center_url(center)
        self._http = httpx.Client(base_url=self.url, headers=headers, timeout=timeout)

    def close(self) -> None:
        self._http.close()

    def get(
        self, answer: type[Answer], path: str, params: Mapping[str, Any] | None = None
    ) -> Answer:
        """GET one JSON document as `answer`."""
        return self._parse(answer, self._call("GET", path, params=params).content)

    def post(
        self, answer: type[Answer], path: str, body: object, headers: Mapping[str, str]
    ) -> Answer:
        """POST `body` as JSON and read the reply as `answer`."""
        return self._parse(answer, self._call("POST", path, json=body, headers=headers).content)

    def pages(
        self, answer: type[Answer], path: str, params: Mapping[str, Any] | None = None
    ) -> Iterator[Answer]:
        """Every item of a list, page after page."""
        query = {key: value for key, value in (params or {}).items() if value is not None}
        query.setdefault("limit", PAGE)
        while True:
            page = self._json(self._call("GET", path, params=query))
            items = page if isinstance(page, list) else page.get("items", [])
            for item in items:
                yield self._validated(answer, item)
            cursor = None if isinstance(page, list) else page.get("next_cursor")
            if not cursor:
                return
            query["cursor"] = cursor

    @contextmanager
    def stream(
        self, path: str, headers: Mapping[str, str], timeout: httpx.Timeout | None = None
    ) -> Iterator[httpx.Response]:
        """Open a GET whose body is read in pieces; errors inside the block are translated too."""
        options: dict[str, Any] = {"timeout": timeout} if timeout else {}
        with (
            self._told_as_mos_errors(),
            self._http.stream("GET", path, headers=dict(headers), **options) as response,
        ):
            if not response.is_success and response.status_code != RANGE_NOT_SATISFIABLE:
                response.read()
                raise problem_of(response)
            yield response

    def events(self, path: str, timeout: float) -> Iterator[str]:
        """The `data` of each server-sent event until the center closes the stream.

        Raises `NotFound` when it has no such stream.
        """
        accept = {"Accept": "text/event-stream"}
        with self.stream(path, accept, httpx.Timeout(timeout)) as response:
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                raise NotFound(f"{self.url}{path} sends no events.")
            data: list[str] = []
            for line in response.iter_lines():
                if line.startswith("data:"):
                    data.append(line.removeprefix("data:").removeprefix(" "))
                elif not line and data:
                    yield "\n".join(data)
                    data = []

    def validated(self, answer: type[Answer], text: str) -> Answer:
        """Parse one JSON document that arrived by another way than `get`."""
        return self._parse(answer, text.encode())

    def _call(self, method: str, path: str, **options: Any) -> httpx.Response:
        with self._told_as_mos_errors():
            response = self._http.request(method, path, **options)
        if not response.is_success:
            raise problem_of(response)
        return response

    @contextmanager
    def _told_as_mos_errors(self) -> Iterator[None]:
        try:
            yield
        except httpx.ConnectError as error:
            raise Unavailable(
                f"No center answers at {self.url} ({error}).",
                hint="Start it with `mos-center serve`, or check --center / MOS_CENTER.",
            ) from None
        except httpx.TimeoutException:
            raise Unavailable(
                f"The center at {self.url} did not answer in time.", hint="Try again."
            ) from None
        except httpx.RequestError as error:
            raise Unavailable(
                f"The connection to {self.url} broke ({error}).", hint="Try again."
            ) from None

    def _parse(self, answer: type[Answer], content: bytes) -> Answer:
        try:
            return answer.model_validate_json(content)
        except ValidationError as error:
            raise self._not_a_center(error) from None

    def _validated(self, answer: type[Answer], item: object) -> Answer:
        try:
            return answer.model_validate(item)
        except ValidationError as error:
            raise self._not_a_center(error) from None

    def _json(self, response: httpx.Response) -> Any:
        try:
            page = response.json()
        except ValueError as error:
            raise self._not_a_center(error) from None
        if not isinstance(page, dict | list):
            raise self._not_a_center(ValueError("neither list nor object"))
        return page

    def _not_a_center(self, error: ValueError) -> MosError:
        first = str(error).strip().splitlines()[:3]
        return MosError(
            f"{self.url} answered something that this client does not understand: "
            f"{' '.join(first)[:300]}",
            hint="Is it a Mix-of-Show center, and is this client as new as it?",
        )


def center_url(text: str) -> str:
    """The center's address without a trailing slash; a missing scheme means http."""
    url = text.strip()
    url = (url if "://" in url else f"http://{url}").rstrip("/")
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL("")
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise InvalidRequest(
            f"{text!r} is no address of a center.", hint="Write it as http://host:8000."
        )
    return url


def problem_of(response: httpx.Response) -> MosError:
    """The error that an HTTP reply tells: its problem+json, or what its status means."""
    try:
        body = response.json()
    except ValueError:
        body = {}
    if isinstance(body, dict) and isinstance(body.get("code"), str):
        fields = body.get("fields")
        return rebuild(
            body["code"],
            str(body.get("detail") or body.get("title") or body["code"]),
            hint=str(body.get("hint") or ""),
            fields=fields if isinstance(fields, dict) else {},
        )
    status = response.status_code
    message = f"{response.request.url} answered {status} {response.reason_phrase}."
    return error_class(_CODES.get(status, _family(status)))(message)


def _family(status: int) -> str:
    return "unavailable" if status in (429, 502, 504) else "internal"


_CODES: dict[int, str] = {}
for _code, _edge in EDGES.items():
    _CODES.setdefault(_edge.http, _code)
