"""The center's REST API: one place that turns answers and failures into values and `MosError`s."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx
from mos_protocol.errors import (
    InvalidRequest,
    MosError,
    NotFound,
    RateLimited,
    Unavailable,
)
from pydantic import BaseModel, ValidationError

from mos_client.session.problems import problem_of, store_problem
from mos_client.session.request_id import REQUEST_ID, new_request_id
from mos_client.session.retry import Backoff, retrying
from mos_client.session.tls import Tls, tls_problem

Answer = TypeVar("Answer", bound=BaseModel)
PAGE = 100
RANGE_NOT_SATISFIABLE = 416
IDEMPOTENCY_KEY = "Idempotency-Key"
BROKEN_TLS_HINT = (
    "Try again. If the center lets in only clients that have a certificate, set MOS_CLIENT_CERT "
    "and MOS_CLIENT_KEY."
)


class RestClient:
    """JSON over HTTP to one center. Raises `MosError`s only.

    A center that wants fewer calls is given the time it asks for. Changes are made once, however
    often they have to be sent.
    """

    def __init__(
        self,
        center: str,
        token: str | None,
        timeout: float,
        backoff: Backoff | None = None,
        tls: Tls | None = None,
    ) -> None:
        self._backoff = backoff or Backoff()
        self.request_id = new_request_id()
        headers = {REQUEST_ID: self.request_id}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self.url = center_url(center)
        tls = tls or Tls()
        is_https = self.url.startswith("https:")
        verify = tls.context() if is_https else True
        # Some servers hang up on a client without a certificate before they say so.
        self._broken_hint = "Try again." if tls.cert or not is_https else BROKEN_TLS_HINT
        self._http = httpx.Client(
            base_url=self.url, headers=headers, timeout=timeout, verify=verify
        )

    def close(self) -> None:
        self._http.close()

    def get(
        self, answer: type[Answer], path: str, params: Mapping[str, Any] | None = None
    ) -> Answer:
        """GET one JSON document as `answer`."""
        return self._parse(answer, self._call("GET", path, params=params).content)

    def change(
        self,
        method: str,
        answer: type[Answer],
        path: str,
        body: object = None,
        key: str | None = "",
    ) -> Answer:
        """Send a change, `body` as JSON, and read the reply as `answer`.

        It is sent again, under the same key, when the connection or the center broke off. The key
        is a new one when it is "", and left out when it is None.
        """
        return self._parse(answer, self._change(method, path, body, key).content)

    def remove(self, path: str) -> None:
        """DELETE what is at `path`."""
        self._change("DELETE", path, None, "")

    def _change(self, method: str, path: str, body: object, key: str | None) -> httpx.Response:
        headers = {} if key is None else {IDEMPOTENCY_KEY: key or uuid.uuid4().hex}
        options = {} if body is None else {"json": body}
        return retrying(
            lambda: self._call(method, path, headers=headers, **options), self._backoff.few()
        )

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
            # A file may come straight from the center's store; the token does not go there.
            self._http.stream(
                "GET", path, headers=dict(headers), follow_redirects=True, **options
            ) as response,
        ):
            if not response.is_success and response.status_code != RANGE_NOT_SATISFIABLE:
                response.read()
                raise store_problem(response) if response.history else problem_of(response)
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
        return retrying(
            lambda: self._call_once(method, path, **options), self._backoff, (RateLimited,)
        )

    def _call_once(self, method: str, path: str, **options: Any) -> httpx.Response:
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
            raise tls_problem(self.url, str(error)) or Unavailable(
                f"No center answers at {self.url} ({error}).",
                hint="Start it with `mos-center serve`, or check --center / MOS_CENTER.",
            ) from None
        except httpx.TimeoutException:
            raise Unavailable(
                f"The center at {self.url} did not answer in time.", hint="Try again."
            ) from None
        except httpx.RequestError as error:
            raise tls_problem(self.url, str(error)) or Unavailable(
                f"The connection to {self.url} broke ({error}).", hint=self._broken_hint
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
